"""The engine as those see it who watch: what it says of itself, and the canvases in flight."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from palimpsest.engine.api import PAGE_TOKENS, InvalidRequest, Report, Stepped, Submit
from palimpsest.server import fields
from palimpsest.server.call import Call
from palimpsest.server.health import Health, Phase
from palimpsest.server.strict import refuse_unsupported
from palimpsest.server.supervisor import Supervisor
from palimpsest.v1 import engine_state_pb2

INTERVAL_S = (0.02, 60.0)
"""Between reports, at least and at most."""
DEFAULT_INTERVAL_S = 1.0
_PHASES = {
    Phase.LOADING: engine_state_pb2.ENGINE_PHASE_LOADING,
    Phase.SERVING: engine_state_pb2.ENGINE_PHASE_SERVING,
    Phase.DRAINING: engine_state_pb2.ENGINE_PHASE_DRAINING,
    Phase.RESTARTING: engine_state_pb2.ENGINE_PHASE_RESTARTING,
}


def interval_s(request: engine_state_pb2.WatchEngineRequest) -> float:
    """Seconds between reports. Raises InvalidRequest and Unsupported."""
    refuse_unsupported(request, fields.WATCH_ENGINE)
    if not request.HasField("interval"):
        return DEFAULT_INTERVAL_S
    low, high = INTERVAL_S
    # what is no duration at all has no one number of nanoseconds
    seconds = request.interval.seconds + request.interval.nanos / 1e9
    if not low <= seconds <= high:
        raise InvalidRequest("interval", f"{seconds} s is outside {low} to {high} s")
    return seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """The engine at one moment."""

    time_ns: int
    phase: Phase
    model: str
    """Empty until it was loaded."""
    restarts: int
    ready_ns: int
    """When the process that runs took requests first."""
    report: Report | None
    """None until it has done something."""
    in_flight: tuple[tuple[Submit, Stepped], ...]


class EngineWatch:
    """Where the state is read; for all who watch."""

    def __init__(self, engine: Supervisor, health: Health) -> None:
        self._engine, self._health = engine, health

    def now(self) -> Moment:
        engine = self._engine
        return Moment(
            time_ns=time.time_ns(),
            phase=self._health.phase,
            model=engine.model_name,
            restarts=max(engine.starts - 1, 0),
            ready_ns=engine.ready_ns,
            report=engine.report,
            in_flight=tuple(engine.in_flight()),
        )

    async def states(
        self, interval_s: float, call: Call, *, canvases: bool
    ) -> AsyncGenerator[engine_state_pb2.EngineState, None]:
        """A state at once and then every `interval_s`. Raises TimeoutError at the deadline."""
        before: Moment | None = None
        while (left_s := call.remaining_s()) > 0:
            moment = self.now()
            yield state_message(moment, before, canvases=canvases)
            before = moment
            await asyncio.sleep(min(interval_s, left_s))
        raise TimeoutError("the watch lasted until its deadline or the server's limit")


def state_message(
    moment: Moment, before: Moment | None, *, canvases: bool
) -> engine_state_pb2.EngineState:
    """`before` is when speeds are counted from; None: when the engine was ready."""
    state = engine_state_pb2.EngineState(
        observe_time=_timestamp(moment.time_ns),
        model=moment.model,
        phase=_PHASES[moment.phase],
        restarts=moment.restarts,
        page_tokens=PAGE_TOKENS,
        canvases=map(_canvas, moment.in_flight) if canvases else (),
    )
    report = moment.report
    if report is not None:
        state.running_requests, state.waiting_requests = report.running, report.waiting
        state.steps, state.last_batch_size = report.passes, report.last_batch_size
        state.last_step_micros = report.last_pass_ns // 1_000
        state.used_pages = sum(pages.held for pages in report.pages)
        state.total_pages = sum(pages.total for pages in report.pages)
        if report.memory_bytes is not None:
            state.used_memory_bytes = report.memory_bytes
        state.speeds.CopyFrom(_speeds(report, moment, before))
    return state


def _speeds(report: Report, now: Moment, before: Moment | None) -> engine_state_pb2.EngineSpeeds:
    since_ns, earlier = now.ready_ns, None
    if before is not None and before.ready_ns == now.ready_ns:
        since_ns, earlier = before.time_ns, before.report

    def more(name: str) -> int:
        return getattr(report, name) - (0 if earlier is None else getattr(earlier, name))

    seconds = max(now.time_ns - since_ns, 1) / 1e9
    return engine_state_pb2.EngineSpeeds(
        output_tokens_per_second=more("output_tokens") / seconds,
        effective_tokens_per_second=more("canvas_tokens") / seconds,
        steps_per_second=more("passes") / seconds,
        canvases_per_step=more("steps") / max(more("passes"), 1),
    )


def _canvas(flight: tuple[Submit, Stepped]) -> engine_state_pb2.CanvasState:
    request, step = flight
    return engine_state_pb2.CanvasState(
        request_id=request.name,
        candidate_index=request.candidate_index,
        canvas_index=step.canvas_index,
        step=step.step,
        max_denoising_steps=request.sampling.max_denoising_steps,
        accepted_count=step.accepted_count,
        mean_entropy=step.mean_entropy,
    )


def _timestamp(nanoseconds: int) -> Timestamp:
    message = Timestamp()
    message.FromNanoseconds(nanoseconds)
    return message
