"""Closing, dropping, timing out and headers, against small servers that watch the call."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import grpc
import pytest
from serving import Serve

from palimpsest import AsyncClient, Client, errors
from palimpsest.events import Started
from palimpsest.v1 import generation_pb2
from palimpsest.v1.service_pb2_grpc import DiffusionServiceServicer

PATIENCE_S = 10.0


class Endless(DiffusionServiceServicer):
    """Starts an answer and never ends it; sets `ended` when the caller has gone."""

    def __init__(self) -> None:
        self.ended = threading.Event()

    def StreamGenerate(
        self, request: generation_pb2.StreamGenerateRequest, context: grpc.ServicerContext
    ) -> Iterator[generation_pb2.StreamGenerateResponse]:
        context.add_callback(self.ended.set)
        yield generation_pb2.StreamGenerateResponse(
            sequence=1, started=generation_pb2.Started(seed=7)
        )
        self.ended.wait(PATIENCE_S)

    def Generate(
        self, request: generation_pb2.GenerateRequest, context: grpc.ServicerContext
    ) -> generation_pb2.GenerateResponse:
        context.add_callback(self.ended.set)
        self.ended.wait(PATIENCE_S)
        return generation_pb2.GenerateResponse()


class Echoing(DiffusionServiceServicer):
    """Answers with the headers it was called with."""

    def Generate(
        self, request: generation_pb2.GenerateRequest, context: grpc.ServicerContext
    ) -> generation_pb2.GenerateResponse:
        headers = dict(context.invocation_metadata())
        return generation_pb2.GenerateResponse(
            text=f"{headers.get('traceparent')} {headers.get('tenant')} {request.input.model}"
        )


def test_closing_a_stream_cancels_the_work_and_ends_the_iteration(serve: Serve) -> None:
    endless = Endless()
    with Client(serve(endless)) as client:
        events = client.stream("hello")
        assert isinstance(next(events), Started)
        events.close()
        assert endless.ended.wait(PATIENCE_S)
        assert list(events) == []


def test_leaving_the_with_block_cancels_the_work(serve: Serve) -> None:
    endless = Endless()
    with Client(serve(endless)) as client:
        with client.stream("hello") as events:
            next(events)
        assert endless.ended.wait(PATIENCE_S)


def test_dropping_a_stream_cancels_the_work(serve: Serve) -> None:
    endless = Endless()
    with Client(serve(endless)) as client:
        for _ in client.stream("hello"):
            break
        assert endless.ended.wait(PATIENCE_S)


def test_a_stream_can_be_closed_from_another_thread_while_it_is_read(serve: Serve) -> None:
    with Client(serve(Endless())) as client:
        events = client.stream("hello")
        next(events)
        closer = threading.Thread(target=events.close)
        closer.start()
        assert list(events) == []
        closer.join()


async def test_leaving_the_async_with_block_cancels_the_work(serve: Serve) -> None:
    endless = Endless()
    async with AsyncClient(serve(endless)) as client:
        async with client.stream("hello") as events:
            assert isinstance(await anext(events), Started)
        assert endless.ended.wait(PATIENCE_S)


async def test_a_closed_async_stream_ends_the_iteration(serve: Serve) -> None:
    async with AsyncClient(serve(Endless())) as client:
        events = client.stream("hello")
        await anext(events)
        events.close()
        assert [event async for event in events] == []


def test_a_timeout_raises_and_ends_the_work(serve: Serve) -> None:
    endless = Endless()
    with Client(serve(endless), timeout_s=60) as client:
        with pytest.raises(errors.DeadlineExceeded):
            client.generate("hello", timeout_s=0.2)
        assert endless.ended.wait(PATIENCE_S)


def test_the_client_s_timeout_holds_where_the_call_has_none(serve: Serve) -> None:
    with (
        Client(serve(Endless()), timeout_s=0.2) as client,
        pytest.raises(errors.DeadlineExceeded),
    ):
        list(client.stream("hello"))


def test_headers_of_client_and_call_are_sent_and_the_call_wins(serve: Serve) -> None:
    metadata = {"Traceparent": "of the client", "tenant": "a"}
    with Client(serve(Echoing()), model="tiny", metadata=metadata) as client:
        generation = client.generate("hello", metadata={"traceparent": "of the call"})
    assert generation.text == "of the call a tiny"


async def test_both_clients_offer_the_same_calls() -> None:
    def calls(client: type) -> set[str]:
        return {name for name in vars(client) if not name.startswith("_")}

    assert calls(Client) == calls(AsyncClient)
