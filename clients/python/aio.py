"""The asyncio client: `palimpsest.client` with `await`; see there. To be made and used in one event
loop.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import TypeVar, Unpack

import grpc.aio

from palimpsest import requests, responses
from palimpsest.connection import CHANNEL_OPTIONS, Connection, Priority
from palimpsest.decisions import Decisions, Question, decide_request, decisions_of
from palimpsest.errors import DeadlineExceeded, Unavailable, translated
from palimpsest.events import Generation, Model
from palimpsest.media import Content
from palimpsest.requests import (
    ALL_DRAFTS,
    Canvas,
    ChatMessage,
    ChatOptions,
    Options,
    Preview,
    PromptSource,
)
from palimpsest.resuming import Answer
from palimpsest.streams import AsyncStream
from palimpsest.v1 import model_pb2
from palimpsest.v1.service_pb2_grpc import DiffusionServiceStub
from palimpsest.watching import EngineState, state_of, watch_request

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")


class AsyncClient:
    """A connection to a server; an async context manager.

    All calls raise the errors of `palimpsest.errors`, and take `timeout_s` (seconds, over the
    client's own) and `metadata` (headers, added to the client's own). Calls for an answer take the
    fields of `ChatOptions` and `Sampling` by name.

    A call that ends in Unavailable is made again, after a wait that grows, until it has failed
    `retries` times more without coming further or its timeout does not leave the time. A stream is
    taken up after its last whole canvas and goes on to the very same text; all other calls have
    shown nothing yet and start over.
    """

    def __init__(
        self,
        address: str,
        *,
        model: str = "",
        share: str = "",
        priority: Priority = "normal",
        credentials: grpc.ChannelCredentials | None = None,
        api_key: str | None = None,
        metadata: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        retries: int = 3,
    ) -> None:
        """Connects on the first call. The arguments are the fields of `Connection`."""
        self._connection = Connection(
            address=address,
            model=model,
            share=share,
            priority=priority,
            credentials=credentials,
            api_key=api_key,
            metadata=metadata or {},
            timeout_s=timeout_s,
            retries=retries,
        )
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(address, CHANNEL_OPTIONS)
        else:
            self._channel = grpc.aio.secure_channel(address, credentials, CHANNEL_OPTIONS)
        self._stub = DiffusionServiceStub(self._channel)

    def stream(
        self,
        prompt: Content | None = None,
        *,
        messages: Sequence[ChatMessage] | None = None,
        raw_text: str | None = None,
        canvas: Canvas | None = None,
        preview: Preview = ALL_DRAFTS,
        timeout_s: float | None = None,
        metadata: Mapping[str, str] | None = None,
        **options: Unpack[Options],
    ) -> AsyncStream:
        """The events of an answer to a prompt, a conversation or raw text, as they happen."""
        chat, sampling = requests.split(options)
        source = PromptSource(prompt=prompt, messages=messages, raw_text=raw_text, options=chat)
        request = requests.stream_request(source, self._connection.about, sampling, preview, canvas)
        answer = Answer(request, self._connection.attempts(timeout_s, metadata))
        return AsyncStream(self._stub.StreamGenerate, answer)

    async def generate(
        self,
        prompt: Content | None = None,
        *,
        messages: Sequence[ChatMessage] | None = None,
        raw_text: str | None = None,
        canvas: Canvas | None = None,
        timeout_s: float | None = None,
        metadata: Mapping[str, str] | None = None,
        **options: Unpack[Options],
    ) -> Generation:
        """The whole answer to a prompt, a conversation or raw text."""
        chat, sampling = requests.split(options)
        source = PromptSource(prompt=prompt, messages=messages, raw_text=raw_text, options=chat)
        request = requests.generate_request(source, self._connection.about, sampling, canvas)
        return responses.generation_of(
            await self._call(self._stub.Generate, request, timeout_s, metadata)
        )

    async def decide(
        self,
        prompt: Content | None = None,
        questions: Sequence[Question | str] = ("",),
        *,
        labels: Sequence[str] = (),
        messages: Sequence[ChatMessage] | None = None,
        raw_text: str | None = None,
        denoising_steps: int | None = None,
        calibration_temperature: float | None = None,
        seed: int | None = None,
        timeout_s: float | None = None,
        metadata: Mapping[str, str] | None = None,
        **options: Unpack[ChatOptions],
    ) -> Decisions:
        """How probable each label is as the answer to a question: to the prompt itself, or to each
        of `questions` appended to it. `labels` are those of questions given as text.
        """
        source = PromptSource(prompt=prompt, messages=messages, raw_text=raw_text, options=options)
        request = decide_request(
            source,
            questions,
            labels=labels,
            model=self._connection.model,
            denoising_steps=denoising_steps,
            calibration_temperature=calibration_temperature,
            seed=seed,
        )
        response = await self._call(self._stub.Decide, request, timeout_s, metadata)
        return decisions_of(response)

    async def count_tokens(
        self,
        prompt: Content | None = None,
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
        return (await self._call(self._stub.CountTokens, request, timeout_s, metadata)).token_count

    async def model(
        self, *, timeout_s: float | None = None, metadata: Mapping[str, str] | None = None
    ) -> Model:
        """The model this client asks for: its limits and defaults."""
        request = model_pb2.GetModelRequest(model=self._connection.model)
        response = await self._call(self._stub.GetModel, request, timeout_s, metadata)
        return responses.model_of(response.model)

    async def models(
        self, *, timeout_s: float | None = None, metadata: Mapping[str, str] | None = None
    ) -> tuple[Model, ...]:
        """All models of the server, its default first."""
        request = model_pb2.ListModelsRequest()
        response = await self._call(self._stub.ListModels, request, timeout_s, metadata)
        return tuple(responses.model_of(model) for model in response.models)

    async def watch_engine(
        self, *, interval_s: float = 1.0, canvases: bool = False
    ) -> AsyncGenerator[EngineState, None]:
        """The engine's state now and then every `interval_s` seconds, 0.02 to 60, until closed;
        with every canvas in flight if `canvases`.
        """
        request = watch_request(
            model=self._connection.model, interval_s=interval_s, canvases=canvases
        )
        metadata = self._connection.attempts(None, None).options()["metadata"]
        while True:  # the server's time limit ends a call
            call = self._stub.WatchEngine(request, metadata=metadata)
            try:
                with contextlib.suppress(DeadlineExceeded), translated():
                    async for message in call:
                        yield state_of(message.state)
            finally:
                call.cancel()

    async def close(self) -> None:
        """Ends all calls and the connection."""
        await self._channel.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT],
        request: RequestT,
        timeout_s: float | None,
        metadata: Mapping[str, str] | None,
    ) -> ResponseT:
        attempts = self._connection.attempts(timeout_s, metadata)
        while True:
            try:
                with translated():
                    return await method(request, **attempts.options())
            except Unavailable as error:
                wait_s = attempts.wait_s(error)
            await asyncio.sleep(wait_s)
