"""How far down the spans of a request go, and which of the engine's passes have one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import Tracer

from palimpsest.engine.api import Committed, Encoded, Stepped
from palimpsest.server import span_names as names
from palimpsest.server.pass_spans import MAX_LINKS, PassSpans
from palimpsest.server.tracing import RequestTrace, Tracing

STEPS = 3
ABOVE = {names.QUEUE_SPAN, names.PREFILL_SPAN, "m"}
SAMPLED = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
UNSAMPLED = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"}


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracer(exporter: InMemorySpanExporter) -> Tracer:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider.get_tracer("test")


def stepped(request_id: int, step: int, *, batch_size: int = 1) -> Stepped:
    return Stepped(
        request_id=request_id,
        canvas_index=0,
        step=step,
        start_ns=100 * step,
        end_ns=100 * step + 90,
        batch_size=batch_size,
        temperature=0.5,
        accepted_count=step,
        changed_count=1,
        mean_entropy=0.1,
        draft=None,
        queue_ns=None if step == 1 else 10,
        device_ns=80_000_000,
    )


def begun(tracing: Tracing, headers: dict[str, str] | None = None) -> RequestTrace:
    trace = RequestTrace(tracing, headers or {})
    trace.begin(method="m", request_id="r", start_ns=1)
    return trace


def run(trace: RequestTrace) -> None:
    """A request of one canvas, and the beginning of another."""
    trace.observe(Encoded(request_id=1, canvas_index=None, token_count=1, start_ns=5, end_ns=9))
    for step in range(1, STEPS + 1):
        trace.observe(stepped(1, step))
    commit = Committed(
        request_id=1,
        canvas_index=0,
        steps=STEPS,
        converged=True,
        token_ids=(1, 2),
        start_ns=100,
        end_ns=390,
    )
    trace.observe(commit)
    trace.observe(Encoded(request_id=1, canvas_index=0, token_count=1, start_ns=400, end_ns=490))
    trace.end(status="OK", end_ns=500)


def of_name(spans: Sequence[ReadableSpan], name: str) -> list[ReadableSpan]:
    return [span for span in spans if span.name == name]


@pytest.mark.parametrize(
    ("detail", "below"),
    [
        ("request", set[str]()),
        ("canvas", {names.CANVAS_SPAN, names.COMMIT_SPAN}),
        ("step", {names.CANVAS_SPAN, names.COMMIT_SPAN, names.STEP_SPAN}),
    ],
)
def test_spans_go_as_far_down_as_they_should(
    tracer: Tracer, exporter: InMemorySpanExporter, detail: str, below: set[str]
) -> None:
    run(begun(Tracing(tracer=tracer, detail=detail)))
    assert {span.name for span in exporter.get_finished_spans()} == ABOVE | below


def test_a_canvas_without_spans_of_its_steps_still_sums_them_up(
    tracer: Tracer, exporter: InMemorySpanExporter
) -> None:
    run(begun(Tracing(tracer=tracer, step_share=0.0)))
    spans = exporter.get_finished_spans()
    assert not of_name(spans, names.STEP_SPAN)
    (canvas,) = of_name(spans, names.CANVAS_SPAN)
    assert canvas.attributes is not None
    assert canvas.attributes[names.CANVAS_STEPS] == STEPS
    assert canvas.attributes[names.CANVAS_ACCEPTED] == (1, 2, 3)
    assert canvas.attributes[names.CANVAS_SLOWEST_STEP] == pytest.approx(90e-6)


def test_the_time_on_the_device_is_told_where_it_is_known(
    tracer: Tracer, exporter: InMemorySpanExporter
) -> None:
    run(begun(Tracing(tracer=tracer)))
    for step in of_name(exporter.get_finished_spans(), names.STEP_SPAN):
        assert step.attributes is not None
        assert step.attributes[names.STEP_DEVICE] == 80.0


@pytest.mark.parametrize("headers", [{}, UNSAMPLED])
def test_a_trace_that_is_not_sampled_has_no_spans_at_all(
    exporter: InMemorySpanExporter, headers: dict[str, str]
) -> None:
    provider = TracerProvider(sampler=ALWAYS_OFF)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace = begun(Tracing(tracer=provider.get_tracer("test")), headers)
    run(trace)
    assert trace.trace_id is None
    assert not exporter.get_finished_spans()


async def test_a_pass_has_no_more_links_than_are_of_use(
    tracer: Tracer, exporter: InMemorySpanExporter
) -> None:
    tracing = Tracing(tracer=tracer, passes=PassSpans(tracer, 1.0))
    count = MAX_LINKS + 6
    for request_id in range(count):
        begun(tracing).observe(stepped(request_id, 1, batch_size=count))
    begun(tracing).observe(stepped(count, 2))
    (first,) = of_name(exporter.get_finished_spans(), names.PASS_SPAN)
    assert len(first.links) == MAX_LINKS
    assert first.attributes is not None
    assert first.attributes[names.BATCH_SIZE] == count


async def test_a_pass_is_linked_with_canvases_where_steps_have_no_spans(
    tracer: Tracer, exporter: InMemorySpanExporter
) -> None:
    tracing = Tracing(tracer=tracer, step_share=0.0, passes=PassSpans(tracer, 1.0))
    run(begun(tracing))
    spans = exporter.get_finished_spans()
    (canvas,) = of_name(spans, names.CANVAS_SPAN)
    passes = of_name(spans, names.PASS_SPAN)
    assert len(passes) == STEPS - 1, "the last one is still open"
    for one in passes:
        assert [link.context for link in one.links] == [canvas.context]


async def test_passes_and_requests_that_are_not_sampled_have_no_links(
    tracer: Tracer, exporter: InMemorySpanExporter
) -> None:
    run(begun(Tracing(tracer=tracer, passes=PassSpans(tracer, 0.0)), UNSAMPLED))
    assert not exporter.get_finished_spans(), "the caller decided"
    run(begun(Tracing(tracer=tracer, passes=PassSpans(tracer, 0.0)), SAMPLED))
    spans = exporter.get_finished_spans()
    assert of_name(spans, names.STEP_SPAN)
    assert not of_name(spans, names.PASS_SPAN)
    assert not any(span.links for span in spans)
