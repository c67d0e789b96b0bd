"""The blocking client. `palimpsest.aio` is its asyncio twin; what both do alike is in `requests`,
`responses`, `connection` and `resuming`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TypeVar, Unpack

import grpc

from palimpsest import requests, responses
from palimpsest.closing import Closing
from palimpsest.connection import CHANNEL_OPTIONS, Connection, Priority
from palimpsest.decisions import Decisions, Question, decide_request, decisions_of
from palimpsest.errors import Unavailable, translated
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
from palimpsest.streams import Stream
from palimpsest.v1 import model_pb2
from palimpsest.v1.service_pb2_grpc import DiffusionServiceStub
from palimpsest.watching import EngineStates, watch_request

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")


class Client(Closing):
    """A connection to a server; a context manager, and safe to share between threads.

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
            self._channel = grpc.insecure_channel(address, CHANNEL_OPTIONS)
        else:
            self._channel = grpc.secure_channel(address, credentials, CHANNEL_OPTIONS)
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
    ) -> Stream:
        """The events of an answer to a prompt, a conversation or raw text, as they happen."""
        chat, sampling = requests.split(options)
        source = PromptSource(prompt=prompt, messages=messages, raw_text=raw_text, options=chat)
        request = requests.stream_request(source, self._connection.about, sampling, preview, canvas)
        answer = Answer(request, self._connection.attempts(timeout_s, metadata))
        return Stream(self._stub.StreamGenerate, answer)

    def generate(
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
        response = self._call(self._stub.Generate, request, timeout_s, metadata)
        return responses.generation_of(response)

    def decide(
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
        response = self._call(self._stub.Decide, request, timeout_s, metadata)
        return decisions_of(response)

    def count_tokens(
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

    def watch_engine(self, *, interval_s: float = 1.0, canvases: bool = False) -> EngineStates:
        """The engine's state now and then every `interval_s` seconds, 0.02 to 60, until closed;
        with every canvas in flight if `canvases`.
        """
        request = watch_request(
            model=self._connection.model, interval_s=interval_s, canvases=canvases
        )
        metadata = self._connection.attempts(None, None).options()["metadata"]
        return EngineStates(lambda: self._stub.WatchEngine(request, metadata=metadata))

    def close(self) -> None:
        """Ends all calls and the connection."""
        self._channel.close()

    def _call(
        self,
        method: grpc.UnaryUnaryMultiCallable[RequestT, ResponseT],
        request: RequestT,
        timeout_s: float | None,
        metadata: Mapping[str, str] | None,
    ) -> ResponseT:
        attempts = self._connection.attempts(timeout_s, metadata)
        while True:
            call = method.future(request, **attempts.options())
            try:
                with translated():
                    return call.result()
            except Unavailable as error:
                wait_s = attempts.wait_s(error)
            finally:
                # Ctrl-C leaves result() with the call still running.
                call.cancel()
            time.sleep(wait_s)
