"""Spans of real requests, as a real OTLP receiver gets them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import grpc
import pytest
from calls import COUNT, REVERSE, asking, deciding, question
from connect_calls import CONNECT_JSON, call
from openai_calls import ask, connected
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from otlp_receiver import Receiver, attributes, receiving
from server_process import ServerProcess, Start

from palimpsest.server import tracing
from palimpsest.v1 import canvas_pb2, generation_pb2, sampling_pb2

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT_ID = "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE_ID}-{PARENT_ID}-01"
METHOD = "palimpsest.v1.DiffusionService/StreamGenerate"
MAX_REQUEST_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Traced:
    """A server and where its spans go."""

    server: ServerProcess
    receiver: Receiver

    def stream(
        self,
        request_id: str,
        sampling: sampling_pb2.SamplingParameters | None = None,
        *,
        prompt: str = REVERSE,
        timeout: float | None = None,
    ) -> Iterator[generation_pb2.StreamGenerateResponse]:
        asked = asking(prompt, sampling)
        asked.request_id = request_id
        request = generation_pb2.StreamGenerateRequest(
            input=asked,
            preview=canvas_pb2.PreviewOptions(mode=canvas_pb2.PREVIEW_MODE_METADATA),
        )
        return self.server.stub.StreamGenerate(
            request, timeout=timeout, metadata=(("traceparent", TRACEPARENT),)
        )


ENDLESS = sampling_pb2.SamplingParameters(
    seed=7, max_denoising_steps=1_000, confidence_threshold=0.0
)


@pytest.fixture(scope="module")
def traced(start: Start) -> Iterator[Traced]:
    with receiving() as (receiver, endpoint):
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        limit = ("--max-request-seconds", str(MAX_REQUEST_S))
        server = start(*limit, environment=environment)
        yield Traced(server=server, receiver=receiver)
        server.stop()


def named(spans: list[Span], name: str) -> list[Span]:
    return [span for span in spans if span.name == name]


def test_a_request_is_a_tree_of_prefill_canvases_steps_and_commits(traced: Traced) -> None:
    completed = list(traced.stream("whole", prompt=COUNT))[-1].completed
    root = traced.receiver.request_span("whole")
    children = traced.receiver.children(root)
    names = [span.name for span in children]
    assert names[:2] == [tracing.QUEUE_SPAN, tracing.PREFILL_SPAN]
    assert names[2:] == [tracing.CANVAS_SPAN] * completed.usage.canvases
    assert completed.usage.canvases > 1

    canvases = named(children, tracing.CANVAS_SPAN)
    below = [traced.receiver.children(canvas) for canvas in canvases]
    steps = [named(spans, tracing.STEP_SPAN) for spans in below]
    assert sum(map(len, steps)) == completed.usage.denoising_steps
    for canvas, spans in zip(canvases, steps, strict=True):
        figures = attributes(canvas)
        assert figures[tracing.CANVAS_STEPS] == len(spans)
        assert [attributes(span)[tracing.STEP] for span in spans] == list(range(1, len(spans) + 1))
    commits = [len(named(spans, tracing.COMMIT_SPAN)) for spans in below]
    assert commits == [1] * (len(canvases) - 1) + [0], "the last canvas is not committed"


def test_the_canvases_of_all_candidates_are_in_one_tree_and_counted_together(
    traced: Traced,
) -> None:
    sampling = sampling_pb2.SamplingParameters(seed=7, candidate_count=3)
    events = list(traced.stream("candidates", sampling, prompt=COUNT))
    usages = [event.completed.usage for event in events if event.HasField("completed")]
    root = traced.receiver.request_span("candidates")
    canvases = named(traced.receiver.children(root), tracing.CANVAS_SPAN)
    assert len(canvases) == sum(usage.canvases for usage in usages)
    figures = attributes(root)
    assert figures[tracing.GEN_AI_OUTPUT_TOKENS] == sum(usage.output_tokens for usage in usages)
    assert figures[tracing.DENOISING_STEPS] == sum(usage.denoising_steps for usage in usages)
    below = [traced.receiver.children(canvas) for canvas in canvases]
    assert sum(len(named(spans, tracing.STEP_SPAN)) for spans in below) == sum(
        usage.denoising_steps for usage in usages
    )


def test_a_request_over_http_is_traced_as_one_over_grpc(traced: Traced) -> None:
    headers = {"x-request-id": "over-http", "traceparent": TRACEPARENT}
    with connected(traced.server) as client:
        assert ask(client, REVERSE, extra_headers=headers).choices[0].finish_reason == "stop"
    root = traced.receiver.request_span("over-http")
    assert (root.trace_id.hex(), root.parent_span_id.hex()) == (TRACE_ID, PARENT_ID)
    assert attributes(root)[tracing.RPC_METHOD] == "/v1/chat/completions"
    assert named(traced.receiver.children(root), tracing.CANVAS_SPAN)


def test_every_span_lies_within_its_parent(traced: Traced) -> None:
    list(traced.stream("nested", prompt=COUNT))
    parents = [traced.receiver.request_span("nested")]
    while parents:
        parent = parents.pop()
        for child in traced.receiver.children(parent):
            assert parent.start_time_unix_nano <= child.start_time_unix_nano, child.name
            assert child.start_time_unix_nano <= child.end_time_unix_nano, child.name
            assert child.end_time_unix_nano <= parent.end_time_unix_nano, child.name
            parents.append(child)


def test_the_request_span_tells_model_tokens_and_how_it_ended(traced: Traced) -> None:
    completed = list(traced.stream("figures"))[-1].completed
    root = traced.receiver.request_span("figures")
    figures = attributes(root)
    assert root.name == "chat palimpsest-tiny"
    assert root.kind == Span.SPAN_KIND_SERVER
    assert root.status.code == Status.STATUS_CODE_UNSET
    assert figures[tracing.RPC_METHOD] == METHOD
    assert figures[tracing.RPC_STATUS] == "OK"
    assert figures[tracing.GEN_AI_INPUT_TOKENS] == completed.usage.prompt_tokens
    assert figures[tracing.GEN_AI_OUTPUT_TOKENS] == completed.usage.output_tokens
    assert "palimpsest" in traced.receiver.services


async def test_a_request_over_connect_belongs_to_its_callers_trace_too(traced: Traced) -> None:
    request = generation_pb2.GenerateRequest(input=asking(REVERSE))
    request.input.request_id = "over-connect"
    await call(
        traced.server, CONNECT_JSON, "Generate", request, headers={"traceparent": TRACEPARENT}
    )
    root = traced.receiver.request_span("over-connect")
    assert (root.trace_id.hex(), root.parent_span_id.hex()) == (TRACE_ID, PARENT_ID)
    assert attributes(root)[tracing.RPC_METHOD] == "palimpsest.v1.DiffusionService/Generate"


def test_the_questions_of_a_call_are_canvases_of_one_tree(traced: Traced) -> None:
    questions = [question(("0", "1"), text) for text in ("abc", "bca", "cab")]
    request = deciding("count the letter a in ", *questions, request_id="asked", denoising_steps=2)
    usage = traced.server.stub.Decide(request).usage
    root = traced.receiver.request_span("asked")
    assert root.name == "decide palimpsest-tiny"
    canvases = named(traced.receiver.children(root), tracing.CANVAS_SPAN)
    assert [attributes(canvas)[tracing.CANVAS_STEPS] for canvas in canvases] == [2, 2, 2]
    for canvas in canvases:
        steps = named(traced.receiver.children(canvas), tracing.STEP_SPAN)
        assert [attributes(step)[tracing.STEP] for step in steps] == [1, 2]
        assert canvas.end_time_unix_nano == steps[-1].end_time_unix_nano
    figures = attributes(root)
    assert figures[tracing.GEN_AI_INPUT_TOKENS] == usage.prompt_tokens
    assert figures[tracing.GEN_AI_OUTPUT_TOKENS] == 0
    assert figures[tracing.CANVASES] == 3
    assert figures[tracing.DENOISING_STEPS] == 6


def test_the_callers_span_is_the_parent(traced: Traced) -> None:
    list(traced.stream("parented"))
    root = traced.receiver.request_span("parented")
    assert root.trace_id.hex() == TRACE_ID
    assert root.parent_span_id.hex() == PARENT_ID


def test_a_cancelled_request_is_told_apart_and_is_no_error(traced: Traced) -> None:
    stream = traced.stream("cancelled", ENDLESS)
    assert next(stream).HasField("started")
    assert next(stream).HasField("snapshot")
    assert isinstance(stream, grpc.Call)
    stream.cancel()
    root = traced.receiver.request_span("cancelled")
    assert attributes(root)[tracing.RPC_STATUS] == "CANCELLED"
    assert root.status.code == Status.STATUS_CODE_UNSET
    names = {span.name for span in traced.receiver.children(root)}
    assert tracing.CANVAS_SPAN in names, "what was done is shown"


def test_the_callers_deadline_makes_the_span_an_error(traced: Traced) -> None:
    with pytest.raises(grpc.RpcError):
        list(traced.stream("late", ENDLESS, timeout=0.5))
    root = traced.receiver.request_span("late")
    assert attributes(root)[tracing.ERROR_TYPE] == "DEADLINE_EXCEEDED"
    assert root.status.code == Status.STATUS_CODE_ERROR


def test_the_servers_own_limit_ends_a_request_without_deadline(traced: Traced) -> None:
    with pytest.raises(grpc.RpcError, match="longer than its deadline or the server allows"):
        list(traced.stream("unbounded", ENDLESS))
    root = traced.receiver.request_span("unbounded")
    assert attributes(root)[tracing.ERROR_TYPE] == "DEADLINE_EXCEEDED"
    assert root.end_time_unix_nano - root.start_time_unix_nano >= MAX_REQUEST_S * 1e9


def test_a_refused_request_is_the_callers_error_and_still_shown(traced: Traced) -> None:
    with pytest.raises(grpc.RpcError):
        list(traced.stream("refused", sampling_pb2.SamplingParameters(temperature=-1.0)))
    root = traced.receiver.request_span("refused")
    assert attributes(root)[tracing.RPC_STATUS] == "INVALID_ARGUMENT"
    assert root.status.code == Status.STATUS_CODE_UNSET
