"""What Prometheus reads of a real server."""

from __future__ import annotations

from collections.abc import Callable

import grpc
import httpx
import pytest
from calls import COUNT, NEVER_CONVERGES, TOKENS, asking, generate, stream
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families
from server_process import ServerProcess

from palimpsest.server.metrics import Metrics, exemplar
from palimpsest.server.tracing import RequestTrace, Tracing
from palimpsest.v1 import canvas_pb2, engine_state_pb2, sampling_pb2

GENERATE = "palimpsest.v1.DiffusionService/Generate"
STREAM = "palimpsest.v1.DiffusionService/StreamGenerate"
Value = Callable[..., float]


def read(server: ServerProcess) -> Value:
    """The values at this moment, by name and labels; 0 where there is none."""
    response = httpx.get(f"{server.url}/metrics")
    assert response.status_code == 200
    samples = {
        (sample.name.removeprefix("palimpsest_"), tuple(sorted(sample.labels.items()))): sample
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }

    def value(name: str, **labels: str) -> float:
        sample = samples.get((name, tuple(sorted(labels.items()))))
        return 0.0 if sample is None else sample.value

    return value


def test_an_answer_is_counted(server: ServerProcess) -> None:
    before = read(server)
    answer = generate(server, asking(COUNT))
    after = read(server)

    def more(name: str, **labels: str) -> float:
        return after(name, **labels) - before(name, **labels)

    usage = answer.usage
    assert more("calls_total", method=GENERATE, status="OK") == 1
    assert more("call_seconds_count", method=GENERATE) == 1
    assert more("output_tokens_total") == usage.output_tokens
    prompt = more("prompt_tokens_total", cached="no") + more("prompt_tokens_total", cached="yes")
    assert prompt == usage.prompt_tokens
    assert more("canvases_total", converged="yes") == usage.canvases
    assert more("steps_per_canvas_sum") == usage.denoising_steps
    assert more("denoising_step_seconds_count", canvases="1") == usage.denoising_steps
    assert more("accepted_share_count") == usage.denoising_steps
    assert 0 < more("accepted_share_sum") <= usage.denoising_steps
    for once in ("queue_seconds", "prefill_seconds", "tokens_per_forward"):
        assert more(f"{once}_count") == 1
    draft, commit = (
        more("time_to_first_draft_seconds_sum"),
        more("time_to_first_commit_seconds_sum"),
    )
    assert 0 < draft <= commit <= more("call_seconds_sum", method=GENERATE)


def test_the_engine_is_read_as_it_is(server: ServerProcess) -> None:
    generate(server, asking(COUNT))
    state = next(server.stub.WatchEngine(engine_state_pb2.WatchEngineRequest())).state
    value = read(server)
    assert value("phase", phase="serving") == 1
    assert value("phase", phase="draining") == 0
    assert value("running_requests") == 0
    assert value("passes_total") > 0
    assert value("pages", window="all", use="held") == 0
    assert value("pages", window="all", use="free") > 0
    assert value("engine_restarts_total") == state.restarts


def test_drafts_that_a_caller_got_and_missed_are_counted(server: ServerProcess) -> None:
    before = read(server)
    preview = canvas_pb2.PreviewOptions(mode=TOKENS, max_rate_hz=1_000)
    events = list(stream(server, asking(COUNT), preview))
    after = read(server)
    told = {
        fate: after("drafts_total", fate=fate) - before("drafts_total", fate=fate)
        for fate in ("sent", "skipped")
    }
    assert told["sent"] == sum(event.HasField("snapshot") for event in events)
    assert sum(told.values()) == events[-1].completed.usage.denoising_steps


def test_calls_that_end_badly_are_counted_by_their_status(server: ServerProcess) -> None:
    before = read(server)
    bad = sampling_pb2.SamplingParameters(top_k=0)
    with pytest.raises(grpc.RpcError):
        generate(server, asking(COUNT, bad))
    with pytest.raises(grpc.RpcError):
        list(stream(server, asking(COUNT, NEVER_CONVERGES), timeout=0.2))
    # the server notes the second one when it hears of it
    refused, late = (GENERATE, "INVALID_ARGUMENT"), (STREAM, "DEADLINE_EXCEEDED")
    for method, status in (refused, late):
        labels = {"method": method, "status": status}
        while read(server)("calls_total", **labels) == before("calls_total", **labels):
            pass


def test_openmetrics_is_spoken_to_those_who_ask_for_it(server: ServerProcess) -> None:
    accept = {"accept": "application/openmetrics-text; version=1.0.0"}
    response = httpx.get(f"{server.url}/metrics", headers=accept)
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    names = {family.name for family in open_families(response.text)}
    assert {"palimpsest_calls", "palimpsest_pages", "palimpsest_denoising_step_seconds"} <= names


def test_canvases_that_do_not_converge_are_counted_before_there_are_any() -> None:
    families = {family.name: family for family in Metrics().registry.collect()}
    totals = {
        sample.labels["converged"]: sample.value
        for sample in families["palimpsest_canvases"].samples
        if sample.name.endswith("_total")
    }
    assert totals == {"yes": 0, "no": 0}


async def test_a_value_leads_to_its_trace() -> None:
    tracing = Tracing(tracer=TracerProvider().get_tracer("test"))
    trace = RequestTrace(tracing, {"traceparent": TRACEPARENT})
    trace.begin(method="m", request_id="r", start_ns=1)
    assert exemplar(trace) == {"trace_id": TRACE_ID}
    assert exemplar(None) is None


TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"
