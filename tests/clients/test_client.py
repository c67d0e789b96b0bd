"""Closing, dropping, timing out and headers, against small servers that watch the call."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator

import grpc
import pytest
from serving import Serve

from palimpsest import AsyncClient, Client, errors
from palimpsest.events import Started
from palimpsest.streams import AsyncStream
from palimpsest.v1 import engine_state_pb2, generation_pb2
from palimpsest.v1.service_pb2_grpc import DiffusionServiceServicer

PATIENCE_S = 10.0


class Endless(DiffusionServiceServicer):
    """Starts an answer and never ends it; sets `begun`, and `ended` when the caller has gone."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.ended = threading.Event()

    def StreamGenerate(
        self, request: generation_pb2.StreamGenerateRequest, context: grpc.ServicerContext
    ) -> Iterator[generation_pb2.StreamGenerateResponse]:
        context.add_callback(self.ended.set)
        yield generation_pb2.StreamGenerateResponse(
            sequence=1, started=generation_pb2.Started(seed=7)
        )
        self.begun.set()
        self.ended.wait(PATIENCE_S)

    def Generate(
        self, request: generation_pb2.GenerateRequest, context: grpc.ServicerContext
    ) -> generation_pb2.GenerateResponse:
        context.add_callback(self.ended.set)
        self.begun.set()
        self.ended.wait(PATIENCE_S)
        return generation_pb2.GenerateResponse()

    def WatchEngine(
        self, request: engine_state_pb2.WatchEngineRequest, context: grpc.ServicerContext
    ) -> Iterator[engine_state_pb2.WatchEngineResponse]:
        context.add_callback(self.ended.set)
        yield engine_state_pb2.WatchEngineResponse()
        self.begun.set()
        self.ended.wait(PATIENCE_S)


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


async def test_dropping_an_async_stream_cancels_the_work(serve: Serve) -> None:
    endless = Endless()
    async with AsyncClient(serve(endless)) as client:
        async for _ in client.stream("hello"):
            break
        # sooner than the server itself loses its patience
        assert await asyncio.to_thread(endless.ended.wait, PATIENCE_S / 2)


async def test_another_thread_may_be_the_last_to_hold_an_async_stream(serve: Serve) -> None:
    endless = Endless()
    async with AsyncClient(serve(endless)) as client:
        held = [client.stream("hello")]
        await anext(held[0])
        await asyncio.to_thread(held.clear)
        assert await asyncio.to_thread(endless.ended.wait, PATIENCE_S / 2)


def test_an_async_stream_may_outlive_its_loop_and_its_client(serve: Serve) -> None:
    address = serve(Endless())

    async def left_open() -> AsyncStream:
        client = AsyncClient(address)
        stream = client.stream("hello")
        await anext(stream)
        return stream

    stream = asyncio.run(left_open())
    del stream


async def read(client: AsyncClient) -> None:
    async for _ in client.stream("hello"):
        pass


async def generate(client: AsyncClient) -> None:
    await client.generate("hello")


async def watch(client: AsyncClient) -> None:
    async for _ in client.watch_engine():
        pass


Wait = Callable[[AsyncClient], Awaitable[None]]
waits = pytest.mark.parametrize("wait", [read, generate, watch])


@waits
async def test_closing_the_async_client_is_an_error_to_whoever_waits(
    serve: Serve, wait: Wait
) -> None:
    endless = Endless()
    client = AsyncClient(serve(endless))
    task = asyncio.ensure_future(wait(client))
    assert await asyncio.to_thread(endless.begun.wait, PATIENCE_S)
    await client.close()
    with pytest.raises(errors.Cancelled):
        await task
    assert not task.cancelled()


@waits
async def test_cancelling_a_task_that_waits_cancels_it_and_the_work(
    serve: Serve, wait: Wait
) -> None:
    endless = Endless()
    async with AsyncClient(serve(endless)) as client:
        task = asyncio.ensure_future(wait(client))
        assert await asyncio.to_thread(endless.begun.wait, PATIENCE_S)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(endless.ended.wait, PATIENCE_S / 2)


async def test_a_stream_closed_while_it_is_awaited_ends(serve: Serve) -> None:
    async with AsyncClient(serve(Endless())) as client:
        events = client.stream("hello")
        await anext(events)
        asyncio.get_running_loop().call_soon(events.close)
        assert [event async for event in events] == []


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
