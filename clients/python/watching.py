"""Watching an engine: its states as plain values, one after another for as long as one likes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from google.protobuf.duration_pb2 import Duration

from palimpsest.closing import Closing
from palimpsest.errors import DeadlineExceeded, PalimpsestError, invalid_field, translated
from palimpsest.v1 import engine_state_pb2
from palimpsest.v1.engine_state_pb2 import EnginePhase, WatchEngineResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class CanvasInFlight:
    """A canvas that is being denoised."""

    request_id: str
    candidate_index: int
    canvas_index: int
    step: int
    """Denoising steps done."""
    max_denoising_steps: int
    accepted_count: int
    """Positions accepted in the last step."""
    mean_entropy: float
    """Nats per position, in the last step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineState:
    """An engine at one moment. Speeds are those since the state before, over all requests."""

    observed_s: float
    """Seconds since the epoch."""
    model: str
    """Empty until it was loaded."""
    phase: str
    """`loading`, `serving`, `draining` or `restarting`."""
    restarts: int
    running_requests: int
    waiting_requests: int
    steps: int
    """Passes since the engine started."""
    last_step_s: float
    last_batch_size: int
    """Canvases in the last pass."""
    used_pages: int
    total_pages: int
    page_tokens: int
    used_memory_bytes: int | None
    """Of the device; None where not measured."""
    output_tokens_per_second: float
    effective_tokens_per_second: float
    """Canvas tokens, padding included."""
    steps_per_second: float
    canvases_per_step: float
    canvases: tuple[CanvasInFlight, ...]
    """The longest running first. Empty unless asked for."""


class WatchCall(Protocol):
    """What grpc returns for a streaming call; its own type has no public name."""

    def __next__(self) -> WatchEngineResponse: ...
    def cancel(self) -> bool: ...


class EngineStates(Closing, Iterator[EngineState]):
    """States in order, until closed; calls again where the server's time limit ends a call.

    Iterating raises the errors of `palimpsest.errors`.
    """

    def __init__(self, call: Callable[[], WatchCall]) -> None:
        self._again = call
        self._closed = threading.Event()
        self._call = call()

    def __next__(self) -> EngineState:
        while (message := self._read()) is None:
            if self._closed.is_set():
                raise StopIteration
            self._call = self._again()
        return state_of(message.state)

    def close(self) -> None:
        """Ends the call. May be called from another thread."""
        self._closed.set()
        self._call.cancel()

    def _read(self) -> WatchEngineResponse | None:
        """The next message of the call; None at its end."""
        try:
            with translated():
                return next(self._call, None)
        except DeadlineExceeded:  # the server's: there is none of ours
            return None
        except PalimpsestError:
            if self._closed.is_set():
                return None
            raise


def watch_request(
    *, model: str, interval_s: float, canvases: bool
) -> engine_state_pb2.WatchEngineRequest:
    """Bounds are the server's business. Raises InvalidRequest for what is no time at all."""
    interval = Duration()
    try:
        interval.FromNanoseconds(round(interval_s * 1e9))
    except (ValueError, OverflowError) as error:
        raise invalid_field("interval", f"{interval_s} s does not fit: {error}") from error
    return engine_state_pb2.WatchEngineRequest(
        model=model, interval=interval, include_canvases=canvases
    )


def state_of(state: engine_state_pb2.EngineState) -> EngineState:
    """A state as a plain value."""
    speeds = state.speeds
    return EngineState(
        observed_s=state.observe_time.ToNanoseconds() / 1e9,
        model=state.model,
        phase=EnginePhase.Name(state.phase).removeprefix("ENGINE_PHASE_").lower(),
        restarts=state.restarts,
        running_requests=state.running_requests,
        waiting_requests=state.waiting_requests,
        steps=state.steps,
        last_step_s=state.last_step_micros / 1e6,
        last_batch_size=state.last_batch_size,
        used_pages=state.used_pages,
        total_pages=state.total_pages,
        page_tokens=state.page_tokens,
        used_memory_bytes=(
            state.used_memory_bytes if state.HasField("used_memory_bytes") else None
        ),
        output_tokens_per_second=speeds.output_tokens_per_second,
        effective_tokens_per_second=speeds.effective_tokens_per_second,
        steps_per_second=speeds.steps_per_second,
        canvases_per_step=speeds.canvases_per_step,
        canvases=tuple(map(_canvas, state.canvases)),
    )


def _canvas(canvas: engine_state_pb2.CanvasState) -> CanvasInFlight:
    return CanvasInFlight(
        request_id=canvas.request_id,
        candidate_index=canvas.candidate_index,
        canvas_index=canvas.canvas_index,
        step=canvas.step,
        max_denoising_steps=canvas.max_denoising_steps,
        accepted_count=canvas.accepted_count,
        mean_entropy=canvas.mean_entropy,
    )
