"""A status on the wire becomes the right exception, with what the server knew about it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import grpc
import pytest
from google.protobuf import duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from refusing import refuse
from serving import Serve

from palimpsest import AsyncClient, Client, errors
from palimpsest.errors import FieldViolation
from palimpsest.v1 import generation_pb2
from palimpsest.v1.service_pb2_grpc import DiffusionServiceServicer


class Refusing(DiffusionServiceServicer):
    """Answers every request with one status."""

    def __init__(self, code: grpc.StatusCode, *details: Message) -> None:
        self._code = code
        self._details = details

    def Generate(
        self, request: generation_pb2.GenerateRequest, context: grpc.ServicerContext
    ) -> generation_pb2.GenerateResponse:
        self._refuse(context)
        raise AssertionError("abort raises")

    def StreamGenerate(
        self, request: generation_pb2.StreamGenerateRequest, context: grpc.ServicerContext
    ) -> Iterator[generation_pb2.StreamGenerateResponse]:
        yield generation_pb2.StreamGenerateResponse(sequence=1, started=generation_pb2.Started())
        self._refuse(context)

    def _refuse(self, context: grpc.ServicerContext) -> None:
        refuse(context, self._code, "the reason", *self._details)


STATUS_TO_ERROR = [
    (grpc.StatusCode.INVALID_ARGUMENT, errors.InvalidRequest),
    (grpc.StatusCode.OUT_OF_RANGE, errors.InvalidRequest),
    (grpc.StatusCode.NOT_FOUND, errors.NotFound),
    (grpc.StatusCode.UNIMPLEMENTED, errors.Unimplemented),
    (grpc.StatusCode.UNAUTHENTICATED, errors.AccessDenied),
    (grpc.StatusCode.PERMISSION_DENIED, errors.AccessDenied),
    (grpc.StatusCode.RESOURCE_EXHAUSTED, errors.Overloaded),
    (grpc.StatusCode.UNAVAILABLE, errors.Unavailable),
    (grpc.StatusCode.DEADLINE_EXCEEDED, errors.DeadlineExceeded),
    (grpc.StatusCode.CANCELLED, errors.Cancelled),
    (grpc.StatusCode.INTERNAL, errors.ServerError),
    (grpc.StatusCode.DATA_LOSS, errors.ServerError),
]


@pytest.mark.parametrize(("code", "error"), STATUS_TO_ERROR)
def test_each_status_raises_its_error_with_the_server_s_words(
    serve: Serve, code: grpc.StatusCode, error: type[errors.PalimpsestError]
) -> None:
    address = serve(Refusing(code))
    with Client(address, retries=0) as client, pytest.raises(error, match="the reason"):
        client.generate("hello")


@pytest.mark.parametrize(("code", "error"), STATUS_TO_ERROR)
def test_an_error_in_the_middle_of_a_stream_comes_after_its_events(
    serve: Serve, code: grpc.StatusCode, error: type[errors.PalimpsestError]
) -> None:
    with Client(serve(Refusing(code)), retries=0) as client, client.stream("hello") as events:
        next(events)
        with pytest.raises(error, match="the reason"):
            next(events)


async def test_the_asyncio_client_raises_the_same_errors(serve: Serve) -> None:
    address = await asyncio.to_thread(serve, Refusing(grpc.StatusCode.NOT_FOUND))
    async with AsyncClient(address) as client:
        with pytest.raises(errors.NotFound, match="the reason"):
            await client.generate("hello")
        async with client.stream("hello") as events:
            await anext(events)
            with pytest.raises(errors.NotFound, match="the reason"):
                await anext(events)


def test_an_invalid_request_names_the_fields(serve: Serve) -> None:
    violation = error_details_pb2.BadRequest.FieldViolation(
        field="input.sampling.temperature", description="-1 is outside 0 to 100"
    )
    refusing = Refusing(
        grpc.StatusCode.INVALID_ARGUMENT,
        error_details_pb2.BadRequest(field_violations=[violation]),
    )
    with Client(serve(refusing)) as client, pytest.raises(errors.InvalidRequest) as caught:
        client.generate("hello", temperature=-1)
    assert caught.value.violations == (
        FieldViolation(field="input.sampling.temperature", description="-1 is outside 0 to 100"),
    )


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, errors.Overloaded),
        (grpc.StatusCode.UNAVAILABLE, errors.Unavailable),
    ],
)
def test_a_retriable_error_says_when_to_come_back(
    serve: Serve, code: grpc.StatusCode, error: type[errors.Overloaded | errors.Unavailable]
) -> None:
    delay = duration_pb2.Duration(seconds=2, nanos=500_000_000)
    refusing = Refusing(code, error_details_pb2.RetryInfo(retry_delay=delay))
    with Client(serve(refusing), retries=0) as client, pytest.raises(error) as caught:
        client.generate("hello")
    assert caught.value.retry_after_s == 2.5


def test_without_a_hint_a_retriable_error_has_no_time(serve: Serve) -> None:
    refusing = Refusing(grpc.StatusCode.RESOURCE_EXHAUSTED)
    with Client(serve(refusing)) as client, pytest.raises(errors.Overloaded) as caught:
        client.generate("hello")
    assert caught.value.retry_after_s is None


def test_an_address_where_nobody_listens_is_unavailable() -> None:
    with Client("127.0.0.1:1") as client, pytest.raises(errors.Unavailable):
        client.models()


def test_every_error_is_drawn_in_the_tree_that_opens_the_file() -> None:
    assert errors.__doc__ is not None
    public = [
        name
        for name, value in vars(errors).items()
        if isinstance(value, type)
        and issubclass(value, errors.PalimpsestError)
        and not name.startswith("_")
    ]
    assert [name for name in public if name not in errors.__doc__] == []
