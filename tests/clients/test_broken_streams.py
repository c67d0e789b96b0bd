"""Streams of real servers that die in the middle of an answer go on to the identical text."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from server_process import ServerProcess, endless_model, start_server

from palimpsest import AsyncClient, Client, errors
from palimpsest.events import Commit, Completed, Event, Snapshot, Started
from palimpsest.requests import EVERY_STEP, Sampling

PROMPT = "count from 1 to 40"
SAMPLING: Sampling = {
    "max_output_tokens": 150,
    # a canvas takes all of its steps, which leaves time to kill its server
    "max_denoising_steps": 24,
    "confidence_threshold": 0.0,
}
BOS = 2
"""The only end token, and never written: the answer has three canvases."""
MANY = 1_000


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return endless_model(tmp_path_factory.mktemp("model"), end_token=BOS)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Iterator[ServerProcess]:
    """One whose engine is killed and comes back."""
    started = start_server(tmp_path_factory.mktemp("server") / "log", "--model", str(model))
    yield started
    started.stop()


def same(events: list[Event]) -> list[tuple[object, ...]]:
    """What has to be the same however often the stream broke: all but drafts, times and speeds."""
    told: list[tuple[object, ...]] = []
    for event in events:
        match event:
            case Started():
                told.append((event.seed, event.model, event.prompt_tokens))
            case Commit():
                entropy = event.figures.mean_entropy
                told.append((event.canvas_index, event.token_ids, event.text_delta, entropy))
            case Completed():
                told.append((event.finish_reason, event.usage))
    return told


def assert_goes_on_as_if_unbroken(events: list[Event], server: ServerProcess) -> None:
    """That `events` are one stream, the one that `server` gives in one go."""
    started = events[0]
    assert isinstance(started, Started)
    sampling: Sampling = {**SAMPLING, "seed": started.seed}
    with Client(server.address, retries=MANY) as client:
        assert same(events) == same(list(client.stream(PROMPT, **sampling)))
    assert sum(isinstance(event, Commit) for event in events) == 3
    drafts = [(event.canvas_index, event.step) for event in events if isinstance(event, Snapshot)]
    assert drafts == sorted(set(drafts))
    sequence = [event.sequence for event in events]
    assert sequence == sorted(set(sequence))


def test_an_answer_goes_on_at_another_server_of_the_same_model(
    server: ServerProcess, model: Path, tmp_path: Path
) -> None:
    doomed = start_server(tmp_path / "log", "--model", str(model))
    with Client(f"ipv4:{doomed.address},{server.address}") as client:
        stream = client.stream(PROMPT, preview=EVERY_STEP, **SAMPLING)
        events = list(until_commit(stream))
        os.killpg(doomed.process.pid, signal.SIGKILL)
        events += stream
    doomed.stop()
    assert_goes_on_as_if_unbroken(events, server)


async def test_an_answer_goes_on_when_its_engine_is_back(server: ServerProcess) -> None:
    async with AsyncClient(server.address, retries=MANY) as client:
        events: list[Event] = []
        async for event in client.stream(PROMPT, preview=EVERY_STEP, **SAMPLING):
            events.append(event)
            if isinstance(event, Commit) and event.canvas_index == 0:
                (engine,) = server.engine_pids()
                os.kill(engine, signal.SIGKILL)
    assert_goes_on_as_if_unbroken(events, server)


def test_without_retries_the_error_is_raised(server: ServerProcess) -> None:
    with Client(server.address, retries=MANY) as patient:
        patient.generate(PROMPT, max_output_tokens=1)
    with Client(server.address, retries=0) as client:
        endless: Sampling = {"max_denoising_steps": 1_000, "confidence_threshold": 0.0}
        stream = client.stream(PROMPT, **endless)
        assert isinstance(next(stream), Started)
        (engine,) = server.engine_pids()
        os.kill(engine, signal.SIGKILL)
        with pytest.raises(errors.Unavailable, match="the engine process ended"):
            list(stream)


def until_commit(events: Iterator[Event]) -> Iterator[Event]:
    """Up to the first commit, that included."""
    for event in events:
        yield event
        if isinstance(event, Commit):
            return
