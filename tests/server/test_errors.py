"""The table of statuses, and how a handler ends: on a real server whose handler fails."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Iterable

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from palimpsest.engine.api import (
    EngineError,
    EngineStopped,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    Unsupported,
)
from palimpsest.server.call import Call
from palimpsest.server.errors import TABLE
from palimpsest.server.logs import Text
from palimpsest.server.service import reply_with_status
from palimpsest.v1 import generation_pb2
from palimpsest.v1.service_pb2_grpc import (
    DiffusionServiceServicer,
    DiffusionServiceStub,
    add_DiffusionServiceServicer_to_server,
)

Request = generation_pb2.StreamGenerateRequest
Response = generation_pb2.StreamGenerateResponse


class Failing(DiffusionServiceServicer):
    """Sends one message and then fails."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def StreamGenerate(
        self, request: Request, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[Response]:
        call = Call(method="StreamGenerate", request_id="r-1", time_limit_s=60.0, trace=None)
        async with reply_with_status(context, call):
            yield Response(sequence=1)
            raise self._error


@contextlib.asynccontextmanager
async def failing_with(error: Exception) -> AsyncIterator[grpc.aio.AioRpcError]:
    """How a caller sees `error`, raised in the middle of a stream."""
    server = grpc.aio.server()
    add_DiffusionServiceServicer_to_server(Failing(error), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stream = DiffusionServiceStub(channel).StreamGenerate(Request())
        assert await stream.read() == Response(sequence=1)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stream.read()
        yield caught.value
    await server.stop(None)


def status_of(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    """Of the trailing metadata, which aio errors carry as the synchronous ones do."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    assert status is not None
    return status


def found(status: status_pb2.Status, wanted: Message) -> bool:
    return any(detail.Unpack(wanted) for detail in status.details)


def _with_subclasses(kind: type[Exception]) -> Iterable[type[Exception]]:
    yield kind
    for subclass in kind.__subclasses__():
        yield from _with_subclasses(subclass)


def test_every_engine_error_has_a_status() -> None:
    assert set(_with_subclasses(EngineError)) <= set(TABLE)


def test_no_two_errors_have_the_same_reason() -> None:
    reasons = [verdict.reason for verdict in TABLE.values()]
    assert len(reasons) == len(set(reasons))


async def test_a_field_to_blame_is_named_in_the_details() -> None:
    async with failing_with(InvalidRequest("sampling.seed", "-1 is too low")) as error:
        status = status_of(error)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert status.message == "sampling.seed: -1 is too low"
    bad, info = error_details_pb2.BadRequest(), error_details_pb2.ErrorInfo()
    assert found(status, bad)
    assert found(status, info)
    (violation,) = bad.field_violations
    assert (violation.field, violation.description) == ("sampling.seed", "-1 is too low")
    assert (info.reason, info.domain) == ("INVALID_REQUEST", "palimpsest")
    assert dict(info.metadata) == {"field": "sampling.seed", "request_id": "r-1"}


async def test_a_long_value_is_cut_so_that_the_refusal_still_fits_into_trailers() -> None:
    async with failing_with(InvalidRequest("choices", "twice 很" + "长" * 20_000)) as error:
        status = status_of(error)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert status.message.startswith("choices: twice 很长")
    assert status.message.endswith("长…")
    bad = error_details_pb2.BadRequest()
    assert found(status, bad)
    assert bad.field_violations[0].description.endswith("长…")


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (Unsupported("input.canvas"), grpc.StatusCode.UNIMPLEMENTED),
        (ModelNotFound("no such model"), grpc.StatusCode.NOT_FOUND),
        (TimeoutError("too long"), grpc.StatusCode.DEADLINE_EXCEEDED),
    ],
)
async def test_each_error_is_answered_with_its_status_and_message(
    failure: Exception, code: grpc.StatusCode
) -> None:
    async with failing_with(failure) as error:
        assert (error.code(), error.details()) == (code, str(failure))


@pytest.mark.parametrize(
    ("failure", "code", "seconds"),
    [
        (Overloaded("full", 2.5), grpc.StatusCode.RESOURCE_EXHAUSTED, 2.5),
        (EngineStopped("gone"), grpc.StatusCode.UNAVAILABLE, 1.0),
    ],
)
async def test_what_is_worth_trying_again_says_when(
    failure: Exception, code: grpc.StatusCode, seconds: float
) -> None:
    async with failing_with(failure) as error:
        status = status_of(error)
    retry = error_details_pb2.RetryInfo()
    assert error.code() is code
    assert found(status, retry)
    assert retry.retry_delay.ToMilliseconds() == seconds * 1_000


async def test_an_unknown_failure_tells_the_request_id_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.handler.setFormatter(Text())
    with caplog.at_level(logging.ERROR):
        async with failing_with(KeyError("a secret")) as error:
            pass
    assert error.code() is grpc.StatusCode.INTERNAL
    assert error.details() == "the server failed; its log says why (request r-1)"
    assert "a secret" in caplog.text
    assert "request_id=r-1" in caplog.text


async def test_a_failure_of_the_engine_is_told_with_the_request_id() -> None:
    async with failing_with(EngineError("out of memory")) as error:
        assert error.code() is grpc.StatusCode.INTERNAL
        assert error.details() == "out of memory (request r-1)"
