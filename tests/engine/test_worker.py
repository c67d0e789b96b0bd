"""The engine process: what it says while loading, how it serves, and how it ends."""

from __future__ import annotations

import gc
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from replay import answer, random_prompt, run, submit
from torch.nn import Module

from palimpsest.engine.channel import Channel, ChannelClosed
from palimpsest.engine.commands import Cancel, Stop
from palimpsest.engine.engine import Engine
from palimpsest.engine.events import Event, Finished, LoadFailed, Loading, Ready, Stepped
from palimpsest.engine.loading import load
from palimpsest.engine.options import EngineOptions
from palimpsest.engine.sampling import Sampling
from palimpsest.engine.worker import serve

OPTIONS = EngineOptions(device="cpu", dtype="float32", threads=1)
SAMPLING = Sampling(max_output_tokens=64, seed=3, max_denoising_steps=2)
PROMPT = random_prompt(12)


class Served:
    """A worker in a thread, and the server's end of its channel."""

    def __init__(
        self, ours: socket.socket, theirs: socket.socket, pool: ThreadPoolExecutor
    ) -> None:
        self.socket = ours
        self.channel = Channel(self.socket)
        self.ended: Future[None] = pool.submit(serve, Channel(theirs))
        self._events: list[Event] = []

    def until(self, kind: type[Event]) -> list[Event]:
        """Events up to the first of a kind."""
        heard: list[Event] = []
        while not heard or not isinstance(heard[-1], kind):
            if not self._events:
                frames = self.channel.receive(block=True)
                self._events = [event for frame in frames for event in _events(frame)]
            heard.append(self._events.pop(0))
        return heard


def _events(frame: object) -> tuple[Event, ...]:
    assert isinstance(frame, tuple)
    return frame


@pytest.fixture
def served() -> Iterator[Served]:
    ours, theirs = socket.socketpair()
    with theirs, ThreadPoolExecutor(1) as pool, ours:
        yield Served(ours, theirs, pool)
    gc.unfreeze()


def test_it_reports_loading_and_then_what_it_serves(served: Served) -> None:
    served.channel.send(OPTIONS)
    heard = served.until(Ready)
    progress = [event for event in heard[:-1] if isinstance(event, Loading)]
    assert len(progress) == len(heard) - 1 > 0
    assert [p.done_bytes for p in progress] == sorted({p.done_bytes for p in progress})
    ready = heard[-1]
    assert isinstance(ready, Ready)
    assert ready.model.name == "palimpsest-tiny"


def test_collections_leave_out_what_is_loaded(served: Served) -> None:
    served.channel.send(OPTIONS)
    served.until(Ready)
    loaded = sum(issubclass(type(found), Module) for found in gc.get_objects())
    assert gc.get_freeze_count() > 1_000
    assert loaded == 0


def test_it_answers_as_the_engine_does_and_ends_when_told(served: Served) -> None:
    served.channel.send(OPTIONS)
    served.until(Ready)
    served.channel.send(submit(PROMPT, SAMPLING))
    heard = served.until(Finished)
    model, _ = load(OPTIONS, lambda done, total: None)
    assert answer(heard) == answer(run(Engine(model), [submit(PROMPT, SAMPLING)]))
    served.channel.send(Stop())
    assert served.ended.result(timeout=60) is None


def test_what_is_sent_together_with_the_options_is_not_lost(served: Served) -> None:
    served.channel.send(OPTIONS)
    served.channel.send(submit(PROMPT, SAMPLING))
    heard = served.until(Finished)
    assert not any(isinstance(event, LoadFailed) for event in heard)


def test_a_cancelled_request_frees_the_engine_for_the_next(served: Served) -> None:
    served.channel.send(OPTIONS)
    # a canvas that is never sure: a thousand steps of it cannot be over before it is cancelled
    long = replace(SAMPLING, max_denoising_steps=1000, confidence_threshold=0.0)
    served.channel.send(submit(PROMPT, long, request_id=1))
    served.until(Stepped)
    served.channel.send(Cancel(request_id=1))
    served.channel.send(submit(PROMPT, SAMPLING, request_id=2))
    last = served.until(Finished)[-1]
    assert isinstance(last, Finished)
    assert last.request_id == 2


def test_a_checkpoint_that_cannot_be_served_ends_it_with_the_reason(
    served: Served, tmp_path: Path
) -> None:
    served.channel.send(replace(OPTIONS, model=str(tmp_path)))
    (failed,) = served.until(LoadFailed)
    assert failed == LoadFailed(message=f"{tmp_path}/config.json: no such file")
    assert served.ended.result(timeout=60) is None


def test_it_ends_when_the_server_is_gone(served: Served) -> None:
    served.channel.send(OPTIONS)
    served.until(Ready)
    served.socket.close()
    with pytest.raises(ChannelClosed):
        served.ended.result(timeout=60)


def test_the_process_ends_by_itself_when_the_server_is_gone(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "palimpsest.engine.worker", "--fd", str(theirs.fileno())]
    with ours, theirs:
        process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        theirs.close()
        channel = Channel(ours)
        channel.send(replace(OPTIONS, model=str(tmp_path / "nowhere")))
        assert isinstance(channel.receive(block=True)[0], tuple)
    assert process.wait(timeout=60) == 0
