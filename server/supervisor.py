"""Keeps one engine process running and brings its events to the streams that wait for them.

Requests of a crashed engine end in EngineStopped; the process is started again after a bounded
back-off. Knows token ids and events, no text and no wire.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from typing import Protocol

from palimpsest.engine.api import (
    Cancel,
    ChannelClosed,
    CheckpointError,
    EngineOptions,
    EngineStopped,
    Event,
    LoadFailed,
    Loading,
    ModelInfo,
    Ready,
    Report,
    Stepped,
    Submit,
)
from palimpsest.server.mailbox import Mailbox, Observe, Pace
from palimpsest.server.process import WORKER, EngineProcess
from palimpsest.server.roster import Roster

RESTART_DELAYS_S = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Wait before the first, second, … restart in a row; the last one repeats."""
LEAST_RETRY_S = 1.0
"""What callers are told to wait at least while no engine is running."""
HEALTHY_AFTER_S = 60.0
"""An engine that ran this long starts the delays over."""
STOP_GRACE_S = 5.0
"""How long the process may take to end before it is killed."""

log = logging.getLogger(__name__)


class Watcher(Protocol):
    """Who is told how the engine is doing."""

    def loading(self, progress: Loading) -> None:
        """Weights are being read."""

    async def up(self, model: ModelInfo) -> None:
        """The engine takes requests."""

    async def down(self) -> None:
        """The engine takes no requests any more; a restart follows."""


class Supervisor:
    """The engine as the rest of the server sees it. It lives as long as its `run`."""

    def __init__(
        self,
        options: EngineOptions,
        *,
        max_queue: int,
        watcher: Watcher,
        command: Sequence[str] = WORKER,
        restart_delays_s: Sequence[float] = RESTART_DELAYS_S,
    ) -> None:
        self._options = options
        self._watcher = watcher
        self._command = command
        self._restart_delays_s = restart_delays_s
        self._roster = Roster(max_running=options.max_num_seqs, max_queue=max_queue)
        self._process: EngineProcess | None = None
        self._model: ModelInfo | None = None
        self._serving = False
        self._report: Report | None = None
        self._ready_ns = 0
        self.starts = 0
        """Times that the process was started."""
        self._restarts = 0
        """In a row."""
        self._started_s = 0.0
        """When the last process was started, on the event loop's clock."""
        self._load_s = 0.0
        """From there until it took requests, the last time that it came so far."""
        self._back_s = 0.0
        """When the next one should take requests, on the event loop's clock."""

    @property
    def model(self) -> ModelInfo:
        """What is served. Raises EngineStopped until the first load has ended."""
        if self._model is None:
            raise EngineStopped("the model is still being loaded; try again later")
        return self._model

    @property
    def model_name(self) -> str:
        """Of what is served; empty until the first load has ended."""
        return "" if self._model is None else self._model.name

    @property
    def places_taken(self) -> int:
        """Requests that are waiting or running."""
        return len(self._roster)

    @property
    def report(self) -> Report | None:
        """The engine's last word; None until it has done something."""
        return self._report

    @property
    def ready_ns(self) -> int:
        """When it took requests first, since it was started; nanoseconds since the epoch."""
        return self._ready_ns

    def in_flight(self) -> list[tuple[Submit, Stepped]]:
        """Requests whose canvas has taken a step, and their last one; the oldest first."""
        return self._roster.in_flight()

    @property
    def engine_pid(self) -> int | None:
        """Process id of the engine; None while none is running."""
        return None if self._process is None else self._process.pid

    async def run(self) -> None:
        """Keep the engine running until cancelled, then end it.

        Raises CheckpointError or EngineStopped when the very first load fails; later ones are tried
        again.
        """
        while True:
            try:
                ended = f"exit code {await self._run_once()}"
            except CheckpointError as error:
                if self._model is None:
                    raise
                ended = str(error)
            if self._model is None:
                raise EngineStopped(f"the engine process ended while loading ({ended})")
            delay_s = self._restart_delay_s()
            self._restarts += 1
            log.error("the engine process ended (%s); restarting in %.0f s", ended, delay_s)
            await asyncio.sleep(delay_s)

    def _restart_delay_s(self) -> float:
        """Wait before the next restart."""
        if _now_s() - self._started_s > HEALTHY_AFTER_S:
            self._restarts = 0
        return self._restart_delays_s[min(self._restarts, len(self._restart_delays_s) - 1)]

    async def _run_once(self) -> int:
        """Run one process to its end; its exit code. Raises CheckpointError if it cannot load."""
        self._started_s = _now_s()
        self.starts += 1
        process = await EngineProcess.start(self._options, self._command)
        self._process = process
        # One that is still loading does not listen, so that it is not asked to end.
        grace_s = 0.0
        try:
            with contextlib.suppress(ChannelClosed):
                while True:
                    for event in await process.receive():
                        await self._settle(event)
            grace_s = STOP_GRACE_S
        finally:
            self._process = None
            self._back_s = _now_s() + self._restart_delay_s() + self._load_s
            if self._serving:
                grace_s = STOP_GRACE_S
                self._serving = False
                await self._watcher.down()
            self._roster.fail_all(self._stopped("the engine process ended; send the request again"))
            exit_code = await process.stop(grace_s)
        return exit_code

    async def _settle(self, event: Event) -> None:
        match event:
            case Loading():
                self._watcher.loading(event)
            case LoadFailed(message=message):
                raise CheckpointError(message)
            case Report():
                self._report = event
            case Ready(model=model):
                self._model, self._report = model, None
                self._ready_ns = time.time_ns()
                self._load_s = _now_s() - self._started_s
                self._serving = True
                await self._watcher.up(model)
            case _:
                self._roster.deliver(event)

    def admit(self) -> contextlib.AbstractContextManager[int]:
        """Take a place in the queue: the id to submit under.

        Raises Overloaded when the queue is full and EngineStopped while no engine is running.
        """
        self._running_process()
        return self._roster.admit()

    def reserve(self, count: int) -> contextlib.AbstractContextManager[Iterator[int]]:
        """Take so many places for as long as the block lasts: ids for any number of requests, of
        which at most `count` are submitted at a time. Raises as `admit`.
        """
        self._running_process()
        return self._roster.reserve(count)

    @contextlib.contextmanager
    def submit(
        self, request: Submit, *, pace: Pace | None, deadline_s: float, observe: Observe | None
    ) -> Iterator[Mailbox]:
        """Hand an admitted request to the engine; leaving the block frees it at its next step.

        At `deadline_s` (loop time) the stream ends in TimeoutError, even if nobody reads it.
        `observe` is called with every event of the request, also with the drafts that the mailbox
        skips. Raises EngineStopped.
        """
        process = self._running_process()
        mailbox = Mailbox(pace, observe)
        self._roster.open(request, mailbox)
        process.send(request)
        timer = asyncio.get_running_loop().call_at(deadline_s, self._expire, request.request_id)
        try:
            yield mailbox
        finally:
            timer.cancel()
            if self._roster.close(request.request_id):
                process.send(Cancel(request_id=request.request_id))

    def _expire(self, request_id: int) -> None:
        error = TimeoutError("the request took longer than its deadline or the server allows")
        if self._roster.fail(request_id, error) and self._process is not None:
            self._process.send(Cancel(request_id=request_id))

    def _running_process(self) -> EngineProcess:
        if self._process is None or not self._serving:
            raise self._stopped("the engine is not running; it is being started, try again later")
        return self._process

    def _stopped(self, message: str) -> EngineStopped:
        return EngineStopped(message, max(self._back_s - _now_s(), LEAST_RETRY_S))


def _now_s() -> float:
    return asyncio.get_running_loop().time()
