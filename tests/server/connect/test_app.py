"""Connect and gRPC-Web on a real server: what gRPC says, said to browsers."""

from __future__ import annotations

import httpx
import pytest
from calls import COUNT, NEVER_CONVERGES, REVERSE, TOKENS, asking, deciding, generate, kinds
from calls import question as asked_question
from connect_calls import DIALECTS, SERVICE, Dialect, call, envelope, stream, url
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from google.rpc import error_details_pb2
from server_process import EXIT_S, ServerProcess, Start

from palimpsest.v1 import (
    canvas_pb2,
    decide_pb2,
    engine_state_pb2,
    generation_pb2,
    model_pb2,
    sampling_pb2,
)

JSON = {"content-type": "application/json"}
STREAM = {"content-type": "application/connect+proto"}


@pytest.fixture(params=DIALECTS.values(), ids=list(DIALECTS))
def dialect(request: pytest.FixtureRequest) -> Dialect:
    return request.param


def endless(request_id: str) -> generation_pb2.StreamGenerateRequest:
    asked = asking(REVERSE, NEVER_CONVERGES)
    asked.request_id = request_id
    preview = canvas_pb2.PreviewOptions(mode=TOKENS)
    return generation_pb2.StreamGenerateRequest(input=asked, preview=preview)


def violations(error: ConnectError) -> list[tuple[str, str]]:
    kind = error_details_pb2.BadRequest
    return [
        (violation.field, violation.description)
        for detail in error.details
        if detail.type_name == kind.DESCRIPTOR.full_name
        for violation in kind.FromString(detail.message_bytes).field_violations
    ]


async def test_one_seed_gives_the_same_answer_as_over_grpc(
    server: ServerProcess, dialect: Dialect
) -> None:
    request = generation_pb2.GenerateRequest(input=asking(COUNT))
    answer = await call(server, dialect, "Generate", request)
    over_grpc = generate(server, request.input)
    assert (answer.text, answer.token_ids) == (over_grpc.text, over_grpc.token_ids)


async def test_a_stream_brings_drafts_and_the_same_text_in_commits(
    server: ServerProcess, dialect: Dialect
) -> None:
    preview = canvas_pb2.PreviewOptions(mode=TOKENS, max_rate_hz=1_000)
    request = generation_pb2.StreamGenerateRequest(input=asking(COUNT), preview=preview)
    events = [event async for event in stream(server, dialect, "StreamGenerate", request)]
    assert kinds(events)[0] == "started"
    assert kinds(events)[-1] == "completed"
    assert "snapshot" in kinds(events)
    text = "".join(event.commit.text_delta for event in events if event.HasField("commit"))
    assert text == generate(server, request.input).text


async def test_every_other_method_answers_as_over_grpc(
    server: ServerProcess, dialect: Dialect
) -> None:
    prompt = asking(REVERSE).prompt
    count = model_pb2.CountTokensRequest(prompt=prompt)
    assert await call(server, dialect, "CountTokens", count) == server.stub.CountTokens(count)
    model, models = model_pb2.GetModelRequest(), model_pb2.ListModelsRequest()
    assert await call(server, dialect, "GetModel", model) == server.stub.GetModel(model)
    assert await call(server, dialect, "ListModels", models) == server.stub.ListModels(models)
    decide = deciding("count the letter a in banana", asked_question(("1", "2", "3")))
    decided = await call(server, dialect, "Decide", decide)
    assert isinstance(decided, decide_pb2.DecideResponse)
    assert decided.decisions == server.stub.Decide(decide).decisions


async def test_a_value_outside_its_bound_is_refused_with_its_field(
    server: ServerProcess, dialect: Dialect
) -> None:
    asked = asking(REVERSE, sampling_pb2.SamplingParameters(temperature=-1))
    with pytest.raises(ConnectError) as caught:
        await call(server, dialect, "Generate", generation_pb2.GenerateRequest(input=asked))
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert caught.value.message == "input.sampling.temperature: -1.0 is outside 0.0 to 100.0"
    violation = ("input.sampling.temperature", "-1.0 is outside 0.0 to 100.0")
    assert violations(caught.value) == [violation]


async def test_a_refused_stream_ends_with_the_error_and_its_field(
    server: ServerProcess, dialect: Dialect
) -> None:
    asked = asking(REVERSE, sampling_pb2.SamplingParameters(top_k=0))
    request = generation_pb2.StreamGenerateRequest(input=asked)
    with pytest.raises(ConnectError) as caught:
        assert not [event async for event in stream(server, dialect, "StreamGenerate", request)]
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert [field for field, _ in violations(caught.value)] == ["input.sampling.top_k"]


async def test_an_engine_can_be_watched(server: ServerProcess, dialect: Dialect) -> None:
    request = engine_state_pb2.WatchEngineRequest()
    first = await anext(stream(server, dialect, "WatchEngine", request))
    assert first.state.phase == engine_state_pb2.ENGINE_PHASE_SERVING


def test_a_field_that_json_misspells_is_refused_by_name(server: ServerProcess) -> None:
    response = httpx.post(url(server, "Generate"), headers=JSON, content='{"input": {"promt": {}}}')
    assert response.status_code == 400
    assert response.json()["code"] == "invalid_argument"
    assert '"promt"' in response.json()["message"]


def test_the_deadline_of_a_call_ends_it(server: ServerProcess) -> None:
    request = generation_pb2.GenerateRequest(input=endless("late").input)
    headers = {"content-type": "application/proto", "connect-timeout-ms": "200"}
    response = httpx.post(
        url(server, "Generate"), headers=headers, content=request.SerializeToString()
    )
    assert response.status_code == 504
    assert response.json()["code"] == "deadline_exceeded"
    assert "request_id=late status=DEADLINE_EXCEEDED" in server.log


def test_the_deadline_of_a_stream_over_grpc_web_ends_it(server: ServerProcess) -> None:
    headers = {"content-type": "application/grpc-web+proto", "grpc-timeout": "200m"}
    response = httpx.post(
        url(server, "StreamGenerate"), headers=headers, content=envelope(endless("late-stream"))
    )
    assert b"grpc-status: 4\r\n" in response.content
    assert "request_id=late-stream status=DEADLINE_EXCEEDED" in server.log


def test_a_reader_who_hangs_up_makes_room_for_the_next(server: ServerProcess) -> None:
    with httpx.stream(
        "POST", url(server, "StreamGenerate"), headers=STREAM, content=envelope(endless("left"))
    ) as response:
        next(response.iter_raw())
    generate(server, asking(REVERSE))
    assert "request_id=left status=CANCELLED" in server.log


def test_plain_grpc_is_told_of_its_own_port(server: ServerProcess) -> None:
    response = httpx.post(url(server, "Generate"), headers={"content-type": "application/grpc"})
    assert response.status_code == 415
    assert "other port" in response.text
    assert "Traceback" not in server.log


def test_every_method_of_the_contract_is_there(server: ServerProcess) -> None:
    for method in SERVICE.methods:
        assert httpx.get(url(server, method.name)).status_code == 405, method.name
    assert httpx.get(url(server, "Nothing")).status_code == 404


def test_json_has_no_lines_for_the_eye(server: ServerProcess) -> None:
    response = httpx.post(url(server, "ListModels"), headers=JSON, content="{}")
    assert response.json()["models"][0]["name"] == "palimpsest-tiny"
    assert "\n" not in response.text


def test_a_server_that_is_told_to_end_finishes_a_stream(start: Start) -> None:
    server = start()
    request = endless("last")
    request.input.sampling.max_denoising_steps = 60
    content = envelope(request)
    with httpx.stream(
        "POST", url(server, "StreamGenerate"), headers=STREAM, content=content
    ) as response:
        chunks = response.iter_raw()
        next(chunks)
        server.process.terminate()
        rest = b"".join(chunks)
    # Connect's last frame, which would hold an error.
    assert rest.endswith(b"\x02\x00\x00\x00\x02{}")
    assert server.process.wait(EXIT_S) == 0
    assert "request_id=last status=OK" in server.log
