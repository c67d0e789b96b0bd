"""The events of one answer as they come, for each of the clients."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Protocol

import grpc.aio

from palimpsest.closing import Closing
from palimpsest.errors import PalimpsestError, calling_again, translated
from palimpsest.events import Event
from palimpsest.resuming import Answer
from palimpsest.v1.generation_pb2 import StreamGenerateRequest, StreamGenerateResponse


class _StreamCall(Protocol):
    """What grpc returns for a streaming call; its own type has no public name."""

    def __next__(self) -> StreamGenerateResponse: ...
    def cancel(self) -> bool: ...


class Stream(Closing, Iterator[Event]):
    """The events of one answer, in order, over as many calls as it takes.

    Leaving its `with` block, `close()`, or dropping it before its end cancels the work on the
    server. Iterating raises the errors of `palimpsest.errors`.
    """

    def __init__(self, method: Callable[..., _StreamCall], answer: Answer) -> None:
        """Makes the first call of `method`."""
        self._method = method
        self._answer = answer
        self._closed = threading.Event()
        self._call = method(answer.request, **answer.options())

    def __next__(self) -> Event:
        """The next event; waits for it."""
        while (message := self._read()) is not None:
            event = self._answer.take(message)
            if event is not None:
                return event
        raise StopIteration

    def close(self) -> None:
        """Cancels what is left of the answer. May be called from another thread."""
        self._closed.set()
        self._call.cancel()

    def _read(self) -> StreamGenerateResponse | None:
        """The next message, of a further call if need be; None at the end."""
        while True:
            try:
                with translated():
                    return next(self._call, None)
            except PalimpsestError as error:
                if self._closed.is_set():
                    # Our own cancellation is an end, not an error.
                    return None
                wait_s = self._answer.wait_s(error)
            if wait_s is None or self._closed.wait(wait_s):
                return None
            with calling_again():
                self._call = self._method(self._answer.request, **self._answer.options())
            if self._closed.is_set():
                # close() may have cancelled the call before this one
                self._call.cancel()


class AsyncStream(AsyncIterator[Event]):
    """The events of one answer, in order, over as many calls as it takes.

    Leaving its `async with` block, `close()`, or dropping it before its end cancels the work on the
    server. Iterating raises the errors of `palimpsest.errors`.
    """

    def __init__(
        self,
        method: grpc.aio.UnaryStreamMultiCallable[StreamGenerateRequest, StreamGenerateResponse],
        answer: Answer,
    ) -> None:
        """Makes the first call of `method`."""
        self._method = method
        self._answer = answer
        self._closed = asyncio.Event()
        self._loop = asyncio.get_event_loop()
        self._call = method(answer.request, **answer.options())

    def __del__(self) -> None:
        # grpc's own tasks hold the call, so that it would outlive us. Whoever drops us may be
        # another thread, the loop may be closed, and a first call that was refused is none.
        with contextlib.suppress(RuntimeError, AttributeError):
            self._loop.call_soon_threadsafe(self._call.cancel)

    async def __anext__(self) -> Event:
        """The next event; waits for it."""
        while (message := await self._read()) is not None:
            event = self._answer.take(message)
            if event is not None:
                return event
        raise StopAsyncIteration

    def close(self) -> None:
        """Cancels what is left of the answer."""
        self._closed.set()
        self._call.cancel()

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def _read(self) -> StreamGenerateResponse | None:
        """The next message, of a further call if need be; None at the end."""
        while True:
            try:
                with translated():
                    message = await self._call.read()
                    return message if isinstance(message, StreamGenerateResponse) else None
            except PalimpsestError as error:
                if self._closed.is_set():
                    return None
                wait_s = self._answer.wait_s(error)
            if wait_s is None or await self._closes_within(wait_s):
                return None
            with calling_again():
                self._call = self._method(self._answer.request, **self._answer.options())

    async def _closes_within(self, wait_s: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closed.wait(), wait_s)
        return self._closed.is_set()
