"""The supervisor with a real child process that speaks the channel protocol."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
import scripted_worker
from scripted_worker import CRASH, ENDLESS, FAIL

from palimpsest.engine.api import (
    CheckpointError,
    Committed,
    EngineError,
    EngineOptions,
    EngineStopped,
    Loading,
    ModelInfo,
    Overloaded,
    Sampling,
    Stepped,
    Submit,
)
from palimpsest.server.mailbox import Delivery, Pace
from palimpsest.server.supervisor import Supervisor

WORKER = (sys.executable, scripted_worker.__file__)
NEVER_S = 1e9
EVERY_STEP = Pace(every_n_steps=1, max_rate_hz=1000.0)


@dataclass
class Board:
    """A watcher that remembers."""

    seen: list[str] = field(default_factory=list)
    progress: list[Loading] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def loading(self, progress: Loading) -> None:
        self.progress.append(progress)

    async def up(self, model: ModelInfo) -> None:
        await self._note(f"up {model.name}")

    async def down(self) -> None:
        await self._note("down")

    async def _note(self, what: str) -> None:
        async with self.changed:
            self.seen.append(what)
            self.changed.notify_all()

    async def until(self, holds: Callable[[list[str]], bool]) -> None:
        async with self.changed:
            await self.changed.wait_for(lambda: holds(self.seen))


@contextlib.asynccontextmanager
async def running(
    board: Board, *, model: str = "bundled", max_queue: int = 8, restart_delay_s: float = 0.0
) -> AsyncIterator[Supervisor]:
    engine = Supervisor(
        EngineOptions(model=model, max_num_seqs=1),
        max_queue=max_queue,
        watcher=board,
        command=WORKER,
        restart_delays_s=(restart_delay_s,),
    )
    task = asyncio.ensure_future(engine.run())
    try:
        await board.until(lambda seen: "up scripted" in seen)
        yield engine
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def submit_for(request_id: int, order: int) -> Submit:
    sampling = Sampling(max_output_tokens=8, seed=1)
    return Submit(request_id=request_id, prompt_ids=(order,), sampling=sampling, drafts=True)


async def answer(engine: Supervisor, order: int) -> list[Delivery]:
    with (
        engine.admit() as request_id,
        engine.submit(
            submit_for(request_id, order), pace=None, deadline_s=NEVER_S, observe=None
        ) as mailbox,
    ):
        return [delivery async for delivery in mailbox]


async def test_loading_is_reported_and_then_requests_are_answered() -> None:
    board = Board()
    async with running(board) as engine:
        deliveries = await answer(engine, 3)
    assert [loading.done_bytes for loading in board.progress] == [1, 2]
    commits = [d.event.canvas_index for d in deliveries if isinstance(d.event, Committed)]
    assert commits == [0, 1, 2]
    assert board.seen == ["up scripted", "down"]


async def test_a_checkpoint_that_cannot_be_loaded_ends_the_run_with_its_reason() -> None:
    engine = Supervisor(EngineOptions(model="broken"), max_queue=1, watcher=Board(), command=WORKER)
    with pytest.raises(CheckpointError, match=r"model.safetensors is truncated"):
        await engine.run()


async def test_an_engine_that_dies_while_loading_ends_the_run_with_its_exit_code() -> None:
    engine = Supervisor(EngineOptions(model="dies"), max_queue=1, watcher=Board(), command=WORKER)
    with pytest.raises(EngineStopped, match=r"ended while loading \(exit code 3\)"):
        await engine.run()


async def test_nothing_is_admitted_before_the_engine_is_up() -> None:
    engine = Supervisor(EngineOptions(), max_queue=1, watcher=Board(), command=WORKER)
    with pytest.raises(EngineStopped), engine.admit():
        pass
    with pytest.raises(EngineStopped, match="still being loaded"):
        _ = engine.model


async def test_a_crash_ends_running_requests_and_the_engine_comes_back() -> None:
    board = Board()
    async with running(board) as engine:
        with pytest.raises(EngineStopped):
            await answer(engine, CRASH)
        await board.until(lambda seen: seen == ["up scripted", "down", "up scripted"])
        assert len(await answer(engine, 1)) == 3


async def test_a_crash_says_when_the_engine_should_be_back() -> None:
    async with running(Board(), restart_delay_s=1_000.0) as engine:
        with pytest.raises(EngineStopped) as ended:
            await answer(engine, CRASH)
        with pytest.raises(EngineStopped) as refused, engine.admit():
            pass
    # what is left of the wait before the restart, and of as long as the first load took
    assert 900.0 < refused.value.retry_after_s <= ended.value.retry_after_s < 1_100.0
    assert ended.value.retry_after_s > 1_000.0


async def test_a_killed_engine_ends_a_stream_in_the_middle_and_comes_back() -> None:
    board = Board()
    async with running(board) as engine:
        with engine.admit() as request_id:
            submit = submit_for(request_id, ENDLESS)
            with engine.submit(
                submit, pace=EVERY_STEP, deadline_s=NEVER_S, observe=None
            ) as mailbox:
                await anext(mailbox)
                assert engine.engine_pid is not None
                os.kill(engine.engine_pid, signal.SIGKILL)
                with pytest.raises(EngineStopped):
                    async for _ in mailbox:
                        pass
        await board.until(lambda seen: seen.count("up scripted") == 2)
        await answer(engine, 1)
        assert engine.places_taken == 0


async def test_leaving_a_stream_frees_the_engine_for_the_next_request() -> None:
    async with running(Board()) as engine:
        with engine.admit() as request_id:
            submit = submit_for(request_id, ENDLESS)
            with engine.submit(
                submit, pace=EVERY_STEP, deadline_s=NEVER_S, observe=None
            ) as mailbox:
                async for delivery in mailbox:
                    if isinstance(delivery.event, Stepped):
                        break
        assert engine.places_taken == 0
        assert len(await answer(engine, 1)) == 3


async def test_the_deadline_frees_the_engine_even_if_nobody_reads() -> None:
    async with running(Board()) as engine:
        with engine.admit() as request_id:
            submit = submit_for(request_id, ENDLESS)
            now_s = asyncio.get_running_loop().time()
            with engine.submit(submit, pace=None, deadline_s=now_s, observe=None) as mailbox:
                assert len(await answer(engine, 1)) == 3
                assert engine.places_taken == 0
                with pytest.raises(TimeoutError, match="deadline"):
                    async for _ in mailbox:
                        pass


async def test_what_the_engine_cannot_do_ends_the_stream_with_its_reason() -> None:
    async with running(Board()) as engine:
        with pytest.raises(EngineError, match="the device was lost"):
            await answer(engine, FAIL)
        assert engine.places_taken == 0


async def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    async with running(Board(), max_queue=1) as engine:
        with engine.admit(), engine.admit():
            complaint = r"1 running and 1 waiting.*--max-queue"
            with pytest.raises(Overloaded, match=complaint) as caught, engine.admit():
                pass
            assert caught.value.retry_after_s > 0
        with engine.admit():
            assert engine.places_taken == 1


async def test_the_observer_sees_the_steps_that_no_reader_asked_for() -> None:
    seen: list[object] = []
    async with running(Board()) as engine:
        with engine.admit() as request_id:
            submit = submit_for(request_id, 2)
            with engine.submit(
                submit, pace=None, deadline_s=NEVER_S, observe=seen.append
            ) as mailbox:
                deliveries = [delivery async for delivery in mailbox]
    assert not any(isinstance(delivery.event, Stepped) for delivery in deliveries)
    assert sum(isinstance(event, Stepped) for event in seen) == 6


async def test_no_engine_process_outlives_its_supervisor() -> None:
    async with running(Board()) as engine:
        pid = engine.engine_pid
        assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
