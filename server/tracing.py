"""Spans of one request, made after the fact from the engine's timestamps: request → queue, prefill,
canvas → denoising step, commit.

Knows the OpenTelemetry API alone; telemetry.py decides whether and where spans are sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from opentelemetry.context import Context
from opentelemetry.trace import (
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

# All attribute names. `gen_ai.*` and `rpc.*` are OpenTelemetry's semantic conventions.
GEN_AI_OPERATION = "gen_ai.operation.name"
GEN_AI_PROVIDER = "gen_ai.provider.name"
GEN_AI_MODEL = "gen_ai.request.model"
GEN_AI_RESPONSE_ID = "gen_ai.response.id"
GEN_AI_INPUT_TOKENS = "gen_ai.usage.input_tokens"
GEN_AI_OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
GEN_AI_FINISH_REASONS = "gen_ai.response.finish_reasons"
RPC_METHOD = "rpc.method"
RPC_STATUS = "rpc.response.status_code"
ERROR_TYPE = "error.type"
CANVASES = "palimpsest.canvases"
DENOISING_STEPS = "palimpsest.denoising_steps"
CANVAS_INDEX = "palimpsest.canvas.index"
CANVAS_STEPS = "palimpsest.canvas.steps"
CANVAS_CONVERGED = "palimpsest.canvas.converged"
CANVAS_TOKENS = "palimpsest.canvas.tokens"
STEP = "palimpsest.step.index"
STEP_TEMPERATURE = "palimpsest.step.temperature"
STEP_ACCEPTED = "palimpsest.step.accepted_count"
STEP_CHANGED = "palimpsest.step.changed_count"
STEP_ENTROPY = "palimpsest.step.mean_entropy"
BATCH_SIZE = "palimpsest.batch.size"
TOKENS = "palimpsest.tokens"

SERVER_FAULTS = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)
"""What makes a server's span an error; by convention a caller's fault or cancel does not."""

QUEUE_SPAN = "queue"
PREFILL_SPAN = "prefill"
CANVAS_SPAN = "canvas"
STEP_SPAN = "denoising step"
COMMIT_SPAN = "commit"

_propagator = TraceContextTextMapPropagator()
TRACE_HEADERS = frozenset(_propagator.fields)


class _Canvas:
    """A canvas whose span is open. A commit may be encoded after the next canvas has begun."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self.end_ns: int | None = None
        self.context = set_span_in_context(span)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an answer ended; a call may give several."""

    reason: str
    usage: Usage


class RequestTrace:
    """The spans of one request; `begin`, then anything, then `end`."""

    def __init__(self, tracer: Tracer, headers: Mapping[str, str]) -> None:
        """`headers` are the request's; a `traceparent` among them becomes the parent."""
        self._tracer = tracer
        self._parent = _propagator.extract(headers, context=Context())
        self._canvases: dict[tuple[int, int], _Canvas] = {}
        """By the engine's request, of which every answer is one, and index in it."""

    def begin(self, *, method: str, request_id: str, start_ns: int) -> None:
        attributes = {
            RPC_METHOD: method,
            GEN_AI_PROVIDER: "palimpsest",
            GEN_AI_RESPONSE_ID: request_id,
        }
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
                GEN_AI_OPERATION: operation,
                GEN_AI_MODEL: model.name,
                GEN_AI_INPUT_TOKENS: prompt_tokens,
            }
        )

    def observe(self, event: RequestEvent) -> None:
        """Make the spans that `event` completes."""
        if not self._root.is_recording():
            return
        match event:
            case Encoded(canvas_index=None):
                self._span(QUEUE_SPAN, self._context, self._start_ns, event.start_ns, {})
                self._encoded(PREFILL_SPAN, self._context, event)
            case Stepped():
                self._stepped(event)
            case Committed():
                self._committed(event)
            case Scored():
                canvas = self._canvases.pop((event.request_id, 0))
                canvas.span.set_attribute(CANVAS_STEPS, event.steps)
                canvas.span.end(event.end_ns)
            case Encoded(canvas_index=int(index)):
                canvas = self._canvases.pop((event.request_id, index))
                self._encoded(COMMIT_SPAN, canvas.context, event)
                canvas.span.end(event.end_ns)

    def end(self, *, status: str, end_ns: int, endings: Sequence[Ending] = ()) -> None:
        """Close what is open; `status` is a gRPC status name, `endings` are those of answers."""
        if endings:
            self._finish(endings)
        for canvas in self._canvases.values():
            canvas.span.end(canvas.end_ns or end_ns)
        self._root.set_attribute(RPC_STATUS, status)
        if status in SERVER_FAULTS:
            self._root.set_attribute(ERROR_TYPE, status)
            self._root.set_status(Status(StatusCode.ERROR, status))
        self._root.end(end_ns)

    def _finish(self, endings: Sequence[Ending]) -> None:
        usages = [ending.usage for ending in endings]
        self._root.set_attributes(
            {
                GEN_AI_OUTPUT_TOKENS: sum(usage.output_tokens for usage in usages),
                GEN_AI_FINISH_REASONS: tuple(ending.reason for ending in endings),
                CANVASES: sum(usage.canvases for usage in usages),
                DENOISING_STEPS: sum(usage.denoising_steps for usage in usages),
            }
        )

    def _stepped(self, event: Stepped) -> None:
        key = (event.request_id, event.canvas_index)
        if key not in self._canvases:
            span = self._tracer.start_span(
                CANVAS_SPAN,
                self._context,
                attributes={CANVAS_INDEX: event.canvas_index},
                start_time=event.start_ns,
            )
            self._canvases[key] = _Canvas(span)
        attributes = {
            STEP: event.step,
            STEP_TEMPERATURE: event.temperature,
            STEP_ACCEPTED: event.accepted_count,
            STEP_CHANGED: event.changed_count,
            STEP_ENTROPY: event.mean_entropy,
            BATCH_SIZE: event.batch_size,
        }
        context = self._canvases[key].context
        self._span(STEP_SPAN, context, event.start_ns, event.end_ns, attributes)

    def _committed(self, event: Committed) -> None:
        canvas = self._canvases[event.request_id, event.canvas_index]
        canvas.end_ns = event.end_ns
        canvas.span.set_attributes(
            {
                CANVAS_STEPS: event.steps,
                CANVAS_CONVERGED: event.converged,
                CANVAS_TOKENS: len(event.token_ids),
            }
        )

    def _encoded(self, name: str, context: Context, event: Encoded) -> None:
        self._span(name, context, event.start_ns, event.end_ns, {TOKENS: event.token_count})

    def _span(
        self,
        name: str,
        context: Context,
        start_ns: int,
        end_ns: int,
        attributes: Mapping[str, AttributeValue],
    ) -> None:
        span = self._tracer.start_span(name, context, attributes=attributes, start_time=start_ns)
        span.end(end_ns)
