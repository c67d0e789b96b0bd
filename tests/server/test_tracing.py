"""Spans of real requests, as a real OTLP receiver gets them."""

from __future__ import annotations

import grpc
import pytest
from calls import COUNT, REVERSE, asking, deciding, question
from connect_calls import CONNECT_JSON, call
from openai_calls import ask, connected
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from otlp_receiver import attributes
from traced import (
    ENDLESS,
    PARENT_ID,
    TRACE_ID,
    TRACEPARENT,
    Traced,
    duration_ns,
    named,
    times_ns,
)

from palimpsest.server import span_names as names
from palimpsest.v1 import generation_pb2, sampling_pb2

METHOD = "palimpsest.v1.DiffusionService/StreamGenerate"
SHORT = sampling_pb2.SamplingParameters(seed=7, max_output_tokens=64, max_denoising_steps=2)


def test_a_request_is_a_tree_of_prefill_canvases_steps_and_commits(traced: Traced) -> None:
    completed = list(traced.stream("whole", prompt=COUNT, canvas_length=48))[-1].completed
    root = traced.receiver.request_span("whole")
    children = traced.receiver.children(root)
    kinds = [span.name for span in children]
    assert kinds[:2] == [names.QUEUE_SPAN, names.PREFILL_SPAN]
    assert kinds[2:] == [names.CANVAS_SPAN] * completed.usage.canvases
    assert completed.usage.canvases == 3

    canvases = named(children, names.CANVAS_SPAN)
    below = [traced.receiver.children(canvas) for canvas in canvases]
    steps = [named(spans, names.STEP_SPAN) for spans in below]
    assert sum(map(len, steps)) == completed.usage.denoising_steps
    for canvas, spans in zip(canvases, steps, strict=True):
        figures = attributes(canvas)
        assert figures[names.CANVAS_STEPS] == len(spans)
        assert [attributes(span)[names.STEP] for span in spans] == list(range(1, len(spans) + 1))
    commits = [len(named(spans, names.COMMIT_SPAN)) for spans in below]
    assert commits == [1] * (len(canvases) - 1) + [0], "the last canvas is not committed"


def test_the_steps_of_a_canvas_and_the_waits_between_them_are_its_time(traced: Traced) -> None:
    list(traced.stream("summed", prompt=COUNT, canvas_length=48))
    canvases = named(
        traced.receiver.children(traced.receiver.request_span("summed")), names.CANVAS_SPAN
    )
    for canvas in canvases:
        below = traced.receiver.children(canvas)
        steps = named(below, names.STEP_SPAN)
        assert canvas.start_time_unix_nano == steps[0].start_time_unix_nano
        ends_ns = [span.end_time_unix_nano for span in below]
        assert canvas.end_time_unix_nano == max(ends_ns)
        stepping_ns = sum(map(duration_ns, steps))
        waiting_ns = 1e6 * sum(attributes(step)[names.STEP_QUEUE] for step in steps[1:])
        whole_ns = steps[-1].end_time_unix_nano - canvas.start_time_unix_nano
        assert stepping_ns + waiting_ns == pytest.approx(whole_ns, abs=1_000)
        slowest_ms = attributes(canvas)[names.CANVAS_SLOWEST_STEP]
        assert slowest_ms * 1e6 == pytest.approx(max(map(duration_ns, steps)), abs=1)


def test_a_step_tells_what_it_did(traced: Traced) -> None:
    events = list(traced.stream("telling"))
    shown = [event.snapshot for event in events if event.HasField("snapshot")]
    root = traced.receiver.request_span("telling")
    (canvas,) = named(traced.receiver.children(root), names.CANVAS_SPAN)
    steps = named(traced.receiver.children(canvas), names.STEP_SPAN)
    by_step = {figures[names.STEP]: figures for figures in map(attributes, steps)}
    for snapshot in shown:
        figures = by_step[snapshot.step]
        assert figures[names.STEP_TEMPERATURE] == pytest.approx(snapshot.temperature)
        assert figures[names.STEP_ACCEPTED] == snapshot.accepted_count
        assert figures[names.STEP_CHANGED] == snapshot.changed_count
        assert figures[names.STEP_ENTROPY] == pytest.approx(snapshot.mean_entropy)
        assert figures[names.BATCH_SIZE] == snapshot.timing.batch_size
        assert names.STEP_DEVICE not in figures, "a CPU has no clock of its own"
    accepted = attributes(canvas)[names.CANVAS_ACCEPTED].values
    assert [value.int_value for value in accepted] == [
        attributes(step)[names.STEP_ACCEPTED] for step in steps
    ]


def test_a_prompt_read_before_is_told_apart(traced: Traced) -> None:
    prompt = "count from 1 to 20, " * 12
    for request_id in ("read", "again"):
        usage = list(traced.stream(request_id, SHORT, prompt=prompt))[-1].completed.usage
    root = traced.receiver.request_span("again")
    (prefill,) = named(traced.receiver.children(root), names.PREFILL_SPAN)
    figures = attributes(prefill)
    assert figures[names.CACHED_TOKENS] == usage.cached_prompt_tokens > 0
    assert figures[names.TOKENS] + figures[names.CACHED_TOKENS] == usage.prompt_tokens
    assert attributes(root)[names.GEN_AI_CACHED_TOKENS] == usage.cached_prompt_tokens


def test_a_pass_is_linked_with_the_steps_of_all_who_shared_it(traced: Traced) -> None:
    streams = [traced.stream(f"shared-{i}", ENDLESS) for i in range(2)]
    shared = traced.receiver.wait_for(
        lambda span: span.name == names.PASS_SPAN and len(span.links) == 2
    )
    for stream in streams:
        assert isinstance(stream, grpc.Call)
        stream.cancel()
    assert not shared.parent_span_id
    assert shared.trace_id.hex() != TRACE_ID
    assert attributes(shared)[names.BATCH_SIZE] == 2
    steps = [traced.receiver.by_id(link.span_id) for link in shared.links]
    assert len({step.parent_span_id for step in steps}) == 2
    for step in steps:
        assert step.name == names.STEP_SPAN
        assert [link.span_id for link in step.links] == [shared.span_id]
        assert times_ns(step) == times_ns(shared)


def test_the_canvases_of_all_candidates_are_in_one_tree_and_counted_together(
    traced: Traced,
) -> None:
    sampling = sampling_pb2.SamplingParameters(seed=7, candidate_count=3)
    events = list(traced.stream("candidates", sampling, prompt=COUNT))
    usages = [event.completed.usage for event in events if event.HasField("completed")]
    root = traced.receiver.request_span("candidates")
    canvases = named(traced.receiver.children(root), names.CANVAS_SPAN)
    assert len(canvases) == sum(usage.canvases for usage in usages)
    figures = attributes(root)
    assert figures[names.GEN_AI_OUTPUT_TOKENS] == sum(usage.output_tokens for usage in usages)
    assert figures[names.DENOISING_STEPS] == sum(usage.denoising_steps for usage in usages)
    below = [traced.receiver.children(canvas) for canvas in canvases]
    assert sum(len(named(spans, names.STEP_SPAN)) for spans in below) == sum(
        usage.denoising_steps for usage in usages
    )


def test_a_request_over_http_is_traced_as_one_over_grpc(traced: Traced) -> None:
    headers = {"x-request-id": "over-http", "traceparent": TRACEPARENT}
    with connected(traced.server) as client:
        assert ask(client, REVERSE, extra_headers=headers).choices[0].finish_reason == "stop"
    root = traced.receiver.request_span("over-http")
    assert (root.trace_id.hex(), root.parent_span_id.hex()) == (TRACE_ID, PARENT_ID)
    assert attributes(root)[names.HTTP_ROUTE] == "/v1/chat/completions"
    assert named(traced.receiver.children(root), names.CANVAS_SPAN)


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
    assert (figures[names.RPC_SYSTEM], figures[names.RPC_METHOD]) == ("grpc", METHOD)
    assert figures[names.RPC_STATUS] == "OK"
    assert figures[names.GEN_AI_INPUT_TOKENS] == completed.usage.prompt_tokens
    assert figures[names.GEN_AI_OUTPUT_TOKENS] == completed.usage.output_tokens
    assert "palimpsest" in traced.receiver.services


async def test_a_request_over_connect_belongs_to_its_callers_trace_too(traced: Traced) -> None:
    request = generation_pb2.GenerateRequest(input=asking(REVERSE))
    request.input.request_id = "over-connect"
    await call(
        traced.server, CONNECT_JSON, "Generate", request, headers={"traceparent": TRACEPARENT}
    )
    root = traced.receiver.request_span("over-connect")
    assert (root.trace_id.hex(), root.parent_span_id.hex()) == (TRACE_ID, PARENT_ID)
    assert attributes(root)[names.RPC_METHOD] == "palimpsest.v1.DiffusionService/Generate"
    assert attributes(root)[names.RPC_SYSTEM] == "connectrpc"


def test_the_questions_of_a_call_are_canvases_of_one_tree(traced: Traced) -> None:
    questions = [question(("0", "1"), text) for text in ("abc", "bca", "cab")]
    request = deciding("count the letter a in ", *questions, request_id="asked", denoising_steps=2)
    usage = traced.server.stub.Decide(request).usage
    root = traced.receiver.request_span("asked")
    assert root.name == "decide palimpsest-tiny"
    canvases = named(traced.receiver.children(root), names.CANVAS_SPAN)
    assert [attributes(canvas)[names.CANVAS_STEPS] for canvas in canvases] == [2, 2, 2]
    for canvas in canvases:
        steps = named(traced.receiver.children(canvas), names.STEP_SPAN)
        assert [attributes(step)[names.STEP] for step in steps] == [1, 2]
        assert canvas.end_time_unix_nano == steps[-1].end_time_unix_nano
    figures = attributes(root)
    assert figures[names.GEN_AI_INPUT_TOKENS] == usage.prompt_tokens
    assert figures[names.GEN_AI_OUTPUT_TOKENS] == 0
    assert figures[names.CANVASES] == 3
    assert figures[names.DENOISING_STEPS] == 6


def test_the_callers_span_is_the_parent(traced: Traced) -> None:
    list(traced.stream("parented"))
    root = traced.receiver.request_span("parented")
    assert root.trace_id.hex() == TRACE_ID
    assert root.parent_span_id.hex() == PARENT_ID
