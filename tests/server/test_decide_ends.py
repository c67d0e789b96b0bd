"""How a call with questions ends, is limited, and shares the engine, on a real server."""

from __future__ import annotations

import json
from typing import Any

import grpc
import pytest
from calls import (
    COUNT,
    REVERSE,
    asking,
    cancellable,
    chat,
    deciding,
    details_of,
    found,
    generate,
    stream,
)
from counting import HOW_MANY, counting, decide
from google.rpc import error_details_pb2
from server_process import ServerProcess, Start

from palimpsest.v1 import canvas_pb2, decide_pb2, generation_pb2, sampling_pb2

ENDLESS = sampling_pb2.SamplingParameters(
    seed=7, max_denoising_steps=1_000, confidence_threshold=0.0
)


@pytest.fixture(scope="module")
def small(start: Start) -> ServerProcess:
    """Has three places, of which one is to wait in."""
    return start("--max-num-seqs", "2", "--max-queue", "1")


@pytest.fixture(scope="module")
def thinking(start: Start) -> ServerProcess:
    """Thinks unless told otherwise, and gives a call five seconds."""
    variables = json.dumps({"enable_thinking": True})
    limit = ("--max-request-seconds", "5", "--max-num-seqs", "2")
    return start("--default-chat-template-kwargs", variables, *limit)


def many(steps: int = 64) -> decide_pb2.DecideRequest:
    """Takes far longer than any of these tests."""
    return deciding(HOW_MANY, *map(counting, range(1_024)), denoising_steps=steps)


def status(
    server: ServerProcess, request: decide_pb2.DecideRequest, *, timeout: float | None = None
) -> str:
    """Name of the status that the call ends with, which may be OK."""
    try:
        server.stub.Decide(request, timeout=timeout)
    except grpc.RpcError as error:
        assert isinstance(error, grpc.Call)
        return error.code().name
    return "OK"


def until_denoising(events: Any) -> None:  # noqa: ANN401 - a stream
    while not next(events).HasField("snapshot"):
        pass


def metadata(server: ServerProcess, sampling: sampling_pb2.SamplingParameters) -> Any:  # noqa: ANN401 - as above
    preview = canvas_pb2.PreviewOptions(mode=canvas_pb2.PREVIEW_MODE_METADATA)
    return stream(server, asking(REVERSE, sampling), preview)


def test_cancelling_frees_the_engine_and_all_places(small: ServerProcess) -> None:
    request = deciding(HOW_MANY, *map(counting, range(2)))
    for _ in range(3):
        call = small.stub.Decide.future(many())
        # until two of the three places are the call's
        while status(small, request) == "OK":
            if call.done():
                # refused, as the other had them when it came
                call = small.stub.Decide.future(many())
        call.cancel()
        while (code := status(small, request)) != "OK":
            assert code == "RESOURCE_EXHAUSTED"


def test_the_deadline_ends_a_call_in_the_midst_of_its_questions(wide: ServerProcess) -> None:
    assert status(wide, many(), timeout=0.7) == "DEADLINE_EXCEEDED"
    assert len(decide(wide, HOW_MANY, *map(counting, range(32))).decisions) == 32


def test_the_servers_own_limit_ends_a_call_without_a_deadline(
    thinking: ServerProcess,
) -> None:
    assert status(thinking, many()) == "DEADLINE_EXCEEDED"
    assert len(decide(thinking, HOW_MANY, counting(3)).decisions) == 1


def test_a_call_that_does_not_get_all_its_places_is_refused_at_once(small: ServerProcess) -> None:
    running = [metadata(small, ENDLESS) for _ in range(2)]
    for events in running:
        until_denoising(events)
    request = deciding(HOW_MANY, *map(counting, range(5)))
    with pytest.raises(grpc.RpcError) as caught:
        small.stub.Decide(request)
    refusal = details_of(caught.value)
    assert refusal.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    assert found(refusal, error_details_pb2.RetryInfo())
    cancellable(running[0]).cancel()
    # two of three places are enough for any number of questions
    while status(small, request) != "OK":
        pass
    cancellable(running[1]).cancel()


def test_answers_under_way_are_the_same_beside_many_questions(wide: ServerProcess) -> None:
    alone = generate(wide, asking(COUNT))
    call = wide.stub.Decide.future(many(8))
    beside = [generate(wide, asking(COUNT)) for _ in range(3)]
    call.cancel()
    assert [answer.token_ids for answer in beside] == [alone.token_ids] * 3
    assert alone.finish_reason == generation_pb2.FINISH_REASON_STOP


def test_a_call_is_one_line_of_the_log(wide: ServerProcess) -> None:
    answer = decide(wide, HOW_MANY, *map(counting, range(3)), request_id="logged")
    [line] = [line for line in wide.log.splitlines() if "request_id=logged" in line]
    assert "DiffusionService/Decide" in line
    assert f"status=OK prompt_tokens={answer.usage.prompt_tokens} output_tokens=0" in line


def test_nothing_is_thought_where_the_servers_default_is_to_think(
    wide: ServerProcess, thinking: ServerProcess
) -> None:
    plain = decide(wide, HOW_MANY, counting(3))
    answer = decide(thinking, HOW_MANY, counting(3))
    assert answer.usage.prompt_tokens == plain.usage.prompt_tokens
    assert answer.decisions == plain.decisions
    off = chat(HOW_MANY)
    off.chat.enable_thinking = False
    assert decide(thinking, off, counting(3)).decisions == plain.decisions
