"""Spans of one request, made after the fact from the engine's timestamps: request → queue, prefill,
canvas → denoising step, commit.

Knows the OpenTelemetry API alone; telemetry.py decides whether and where spans are sent.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    format_trace_id,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from palimpsest.engine.api import (
    Committed,
    Encoded,
    ModelInfo,
    RequestEvent,
    Scored,
    Stepped,
    Usage,
)
from palimpsest.server import span_names as names
from palimpsest.server.canvas_span import CanvasSpan
from palimpsest.server.pass_spans import PassSpans

DETAILS = ("request", "canvas", "step")
"""How far down spans go; each has those before it."""
GRPC, CONNECT, HTTP = "grpc", "connectrpc", "http"
"""What carries a call; the first two as OpenTelemetry calls them."""

SERVER_FAULTS = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)
"""What makes a server's span an error; by convention a caller's fault or cancel does not."""

_propagator = TraceContextTextMapPropagator()
TRACE_HEADERS = frozenset(_propagator.fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracing:
    """Which spans there are, for all requests."""

    tracer: Tracer
    detail: str = "step"
    """One of DETAILS."""
    step_share: float = 1.0
    """Share of the requests whose steps have spans, if `detail` goes so far; 0 to 1."""
    passes: PassSpans | None = None
    """None: passes have no spans."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an answer ended; a call may give several."""

    reason: str
    usage: Usage


class RequestTrace:
    """The spans of one request; `begin`, then anything, then `end`."""

    def __init__(
        self, tracing: Tracing, headers: Mapping[str, str], *, carrier: str = GRPC
    ) -> None:
        """`headers` are the request's; a `traceparent` among them becomes the parent. `carrier` is
        GRPC, CONNECT or HTTP."""
        self._tracer, self._passes = tracing.tracer, tracing.passes
        self._carrier = carrier
        self._shows_canvases = tracing.detail != "request"
        self._shows_steps = tracing.detail == "step" and random.random() < tracing.step_share
        self._parent = _propagator.extract(headers, context=Context())
        self._canvases: dict[tuple[int, int], CanvasSpan] = {}
        """By the engine's request, of which every answer is one, and index in it. A commit may be
        encoded after the next canvas has begun."""

    def begin(self, *, method: str, request_id: str, start_ns: int) -> None:
        attributes = {names.GEN_AI_PROVIDER: "palimpsest", names.GEN_AI_RESPONSE_ID: request_id}
        if self._carrier == HTTP:
            attributes[names.HTTP_ROUTE] = method
        else:
            attributes |= {names.RPC_SYSTEM: self._carrier, names.RPC_METHOD: method}
        self._start_ns = start_ns
        self._root = self._tracer.start_span(
            method, self._parent, SpanKind.SERVER, attributes, start_time=start_ns
        )
        self._context = set_span_in_context(self._root)

    @property
    def trace_id(self) -> str | None:
        """As collectors show it; None where the trace is not sampled."""
        context = self._root.get_span_context()
        return format_trace_id(context.trace_id) if context.trace_flags.sampled else None

    def describe(self, *, operation: str, model: ModelInfo, prompt_tokens: int) -> None:
        self._root.update_name(f"{operation} {model.name}")
        self._root.set_attributes(
            {
                names.GEN_AI_OPERATION: operation,
                names.GEN_AI_MODEL: model.name,
                names.GEN_AI_INPUT_TOKENS: prompt_tokens,
            }
        )

    def observe(self, event: RequestEvent) -> None:
        """Make the spans that `event` completes."""
        if not self._root.is_recording():
            return
        match event:
            case Encoded(canvas_index=None):
                self._prefilled(event)
            case _ if not self._shows_canvases:
                pass
            case Stepped():
                self._stepped(event)
            case Committed():
                self._canvases[event.request_id, event.canvas_index].commit(event)
            case Scored():
                self._canvases.pop((event.request_id, 0)).end(event.end_ns)
            case Encoded(canvas_index=int(index)):
                canvas = self._canvases.pop((event.request_id, index))
                attributes = {names.TOKENS: event.token_count}
                self._span(names.COMMIT_SPAN, canvas.context, event, attributes)
                canvas.end(event.end_ns)

    def end(self, *, status: str, end_ns: int, endings: Sequence[Ending] = ()) -> None:
        """Close what is open; `status` is a gRPC status name, `endings` are those of answers."""
        if endings:
            self._finish(endings)
        for canvas in self._canvases.values():
            canvas.end(canvas.end_ns or end_ns)
        of_carrier = names.STATUS if self._carrier == HTTP else names.RPC_STATUS
        self._root.set_attribute(of_carrier, status)
        if status in SERVER_FAULTS:
            self._root.set_attribute(names.ERROR_TYPE, status)
            self._root.set_status(Status(StatusCode.ERROR, status))
        self._root.end(end_ns)

    def _finish(self, endings: Sequence[Ending]) -> None:
        usages = [ending.usage for ending in endings]
        self._root.set_attributes(
            {
                # answers of a call share its prompt
                names.GEN_AI_CACHED_TOKENS: usages[0].cached_prompt_tokens,
                names.GEN_AI_OUTPUT_TOKENS: sum(usage.output_tokens for usage in usages),
                names.GEN_AI_FINISH_REASONS: tuple(ending.reason for ending in endings),
                names.CANVASES: sum(usage.canvases for usage in usages),
                names.DENOISING_STEPS: sum(usage.denoising_steps for usage in usages),
            }
        )

    def _prefilled(self, event: Encoded) -> None:
        queue = self._tracer.start_span(names.QUEUE_SPAN, self._context, start_time=self._start_ns)
        queue.end(event.start_ns)
        attributes = {names.TOKENS: event.token_count, names.CACHED_TOKENS: event.cached_count}
        self._span(names.PREFILL_SPAN, self._context, event, attributes)

    def _stepped(self, step: Stepped) -> None:
        key = (step.request_id, step.canvas_index)
        canvas = self._canvases.get(key)
        if canvas is None:
            canvas = self._canvases[key] = CanvasSpan(self._tracer, self._context, step)
        canvas.step(step)
        links = () if self._passes is None else self._passes.links(step)
        shown = canvas.span
        if self._shows_steps:
            shown = self._span(names.STEP_SPAN, canvas.context, step, _of_step(step), links)
        if links and self._passes is not None:
            self._passes.link(shown)

    def _span(
        self,
        name: str,
        context: Context,
        event: Encoded | Stepped,
        attributes: Mapping[str, AttributeValue],
        links: Sequence[Link] = (),
    ) -> Span:
        """A span of as long as the event took."""
        span = self._tracer.start_span(
            name, context, attributes=attributes, links=links, start_time=event.start_ns
        )
        span.end(event.end_ns)
        return span


def _of_step(step: Stepped) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {
        names.STEP: step.step,
        names.STEP_TEMPERATURE: step.temperature,
        names.STEP_ACCEPTED: step.accepted_count,
        names.STEP_CHANGED: step.changed_count,
        names.STEP_ENTROPY: step.mean_entropy,
        names.BATCH_SIZE: step.batch_size,
    }
    if step.queue_ns is not None:
        attributes[names.STEP_QUEUE] = step.queue_ns / 1e6
    if step.device_ns is not None:
        attributes[names.STEP_DEVICE] = step.device_ns / 1e6
    return attributes
