"""The blocking client. `palimpsest.aio` is its asyncio twin; what both do alike is in `requests`,
`responses` and `connection`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Protocol, TypeVar, Unpack

import grpc

from palimpsest import requests, responses
from palimpsest.connection import CHANNEL_OPTIONS, Connection
from palimpsest.errors import Cancelled, translated
from palimpsest.events import Event, Generation, Model
from palimpsest.requests import (
    ALL_DRAFTS,
    ChatMessage,
    ChatOptions,
    Options,
    Preview,
    PromptSource,
)
from palimpsest.v1 import model_pb2
from palimpsest.v1.generation_pb2 import StreamGenerateResponse
from palimpsest.v1.service_pb2_grpc import DiffusionServiceStub

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")


class _StreamCall(Protocol):
    """What grpc returns for a streaming call; its own type has no public name."""

    def __next__(self) -> StreamGenerateResponse: ...
    def cancel(self) -> bool: ...


class Stream(Iterator[Event]):
    """The events of one answer, in order.

    Leaving its `with` block, `close()`, or dropping it before its end cancels the work on the
    server. Iterating raises the errors of `palimpsest.errors`.
    """

    def __init__(self, call: _StreamCall) -> None:
        self._call = call
        self._closed = False

    def __next__(self) -> Event:
        """The next event; waits for it."""
        while (message := self._read()) is not None:
            event = responses.event_of(message)
            if event is not None:
                return event
        raise StopIteration

    def close(self) -> None:
        """Cancels what is left of the answer. May be called from another thread."""
        self._closed = True
        self._call.cancel()

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _read(self) -> StreamGenerateResponse | None:
        try:
            with translated():
                return next(self._call, None)
        except Cancelled:
            # Our own cancellation is an end, not an error.
            if self._closed:
                return None
            raise


class Client:
    """A connection to a server; a context manager, and safe to share between threads.

    All calls raise the errors of `palimpsest.errors`, and take `timeout_s` (seconds, over the
    client's own) and `metadata` (headers, added to the client's own). Calls for an answer take the
    fields of `ChatOptions` and `Sampling` by name.
    """

    def __init__(
        self,
        address: str,
        *,
        model: str = "",
        credentials: grpc.ChannelCredentials | None = None,
        metadata: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> None:
        """Connects on the first call. The arguments are the fields of `Connection`."""
        self._connection = Connection(
            address=address,
            model=model,
            credentials=credentials,
            metadata=metadata or {},
            timeout_s=timeout_s,
        )
        if credentials is None:
            self._channel = grpc.insecure_channel(address, CHANNEL_OPTIONS)
        else:
            self._channel = grpc.secure_channel(address, credentials, CHANNEL_OPTIONS)
        self._stub = DiffusionServiceStub(self._channel)

    def stream(
        self,
        prompt: str | None = None,
        *,
        messages: Sequence[ChatMessage] | None = None,
        raw_text: str | None = None,
        preview: Preview = ALL_DRAFTS,
        timeout_s: float | None = None,
        metadata: Mapping[str, str] | None = None,
        **options: Unpack[Options],
    ) -> Stream:
        """The events of an answer to a prompt, a conversation or raw text, as they happen."""
        chat, sampling = requests.split(options)
        source = PromptSource(prompt=prompt, messages=messages, raw_text=raw_text, options=chat)
        request = requests.stream_request(source, self._connection.model, sampling, preview)
        return Stream(
            self._stub.StreamGenerate(request, **self._connection.options(timeout_s, metadata))
        )

    def generate(
        self,
        prompt: str | None = None,
        *,
        messages: Sequence[ChatMessage] | None = None,
        raw_text: str | None = None,
        timeout_s: float | None = None,
        metadata: Mapping[str, str] | None = None,
        **options: Unpack[Options],
    ) -> Generation:
        """The whole answer to a prompt, a conversation or raw text."""
        chat, sampling = requests.split(options)
        source = PromptSource(prompt=prompt, messages=messages, raw_text=raw_text, options=chat)
        request = requests.generate_request(source, self._connection.model, sampling)
        response = self._call(self._stub.Generate, request, timeout_s, metadata)
        return responses.generation_of(response)

    def count_tokens(
        self,
        prompt: str | None = None,
        *,
        messages: Sequence[ChatMessage] | None = None,
        raw_text: str | None = None,
        timeout_s: float | None = None,
        metadata: Mapping[str, str] | None = None,
        **options: Unpack[ChatOptions],
    ) -> int:
        """Tokens of a prompt, those of the chat template included."""
        source = PromptSource(prompt=prompt, messages=messages, raw_text=raw_text, options=options)
        request = requests.count_request(source, self._connection.model)
        return self._call(self._stub.CountTokens, request, timeout_s, metadata).token_count

    def model(
        self, *, timeout_s: float | None = None, metadata: Mapping[str, str] | None = None
    ) -> Model:
        """The model this client asks for: its limits and defaults."""
        request = model_pb2.GetModelRequest(model=self._connection.model)
        response = self._call(self._stub.GetModel, request, timeout_s, metadata)
        return responses.model_of(response.model)

    def models(
        self, *, timeout_s: float | None = None, metadata: Mapping[str, str] | None = None
    ) -> tuple[Model, ...]:
        """All models of the server, its default first."""
        request = model_pb2.ListModelsRequest()
        response = self._call(self._stub.ListModels, request, timeout_s, metadata)
        return tuple(responses.model_of(model) for model in response.models)

    def close(self) -> None:
        """Ends all calls and the connection."""
        self._channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _call(
        self,
        method: grpc.UnaryUnaryMultiCallable[RequestT, ResponseT],
        request: RequestT,
        timeout_s: float | None,
        metadata: Mapping[str, str] | None,
    ) -> ResponseT:
        call = method.future(request, **self._connection.options(timeout_s, metadata))
        try:
            with translated():
                return call.result()
        finally:
            # Ctrl-C leaves result() with the call still running.
            call.cancel()
