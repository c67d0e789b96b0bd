"""Calls that the tests of the server make, short to write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import grpc
from google.protobuf.message import Message
from google.rpc import status_pb2
from grpc_status import rpc_status
from server_process import ServerProcess

from palimpsest.v1 import (
    canvas_pb2,
    chat_pb2,
    decide_pb2,
    generation_pb2,
    prompt_pb2,
    sampling_pb2,
)

Event = generation_pb2.StreamGenerateResponse

REVERSE = "reverse the word: canvas"
COUNT = "count from 1 to 40"
"""Its answer takes two canvases."""
TOKENS = canvas_pb2.PREVIEW_MODE_TOKENS
NEVER_CONVERGES = sampling_pb2.SamplingParameters(
    seed=1, max_denoising_steps=1_000, confidence_threshold=0.0, max_output_tokens=64
)


def chat(text: str) -> prompt_pb2.Prompt:
    part = chat_pb2.ContentPart(text=text)
    message = chat_pb2.ChatMessage(role=chat_pb2.CHAT_ROLE_USER, parts=[part])
    return prompt_pb2.Prompt(chat=chat_pb2.ChatPrompt(messages=[message]))


def asking(
    prompt: str | prompt_pb2.Prompt,
    sampling: sampling_pb2.SamplingParameters | None = None,
    *,
    model: str = "",
) -> generation_pb2.GenerationInput:
    return generation_pb2.GenerationInput(
        model=model,
        prompt=chat(prompt) if isinstance(prompt, str) else prompt,
        sampling=sampling or sampling_pb2.SamplingParameters(seed=7),
    )


def stream(
    server: ServerProcess,
    asked: generation_pb2.GenerationInput,
    preview: canvas_pb2.PreviewOptions | None = None,
    *,
    timeout: float | None = None,
) -> Iterator[Event]:
    request = generation_pb2.StreamGenerateRequest(input=asked, preview=preview)
    return server.stub.StreamGenerate(request, timeout=timeout)


def generate(
    server: ServerProcess, asked: generation_pb2.GenerationInput
) -> generation_pb2.GenerateResponse:
    return server.stub.Generate(generation_pb2.GenerateRequest(input=asked))


def question(labels: Iterable[str], text: str = "") -> decide_pb2.Question:
    return decide_pb2.Question(text=text, labels=labels)


def deciding(
    prompt: str | prompt_pb2.Prompt, *questions: decide_pb2.Question, **fields: object
) -> decide_pb2.DecideRequest:
    """Asks with seed 7 unless told otherwise."""
    return decide_pb2.DecideRequest(
        prompt=chat(prompt) if isinstance(prompt, str) else prompt,
        questions=questions,
        **{"seed": 7, **fields},  # type: ignore[arg-type]
    )


def kinds(events: Iterable[Event]) -> list[str | None]:
    """What the events are, in order."""
    return [event.WhichOneof("event") for event in events]


def details_of(error: grpc.RpcError | grpc.Call) -> status_pb2.Status:
    assert isinstance(error, grpc.Call)
    status = rpc_status.from_call(error)
    assert status is not None
    return status


def cancellable(events: Iterator[Event]) -> Any:  # noqa: ANN401 - no public type is both
    """A stream as the call that it also is."""
    return events


def found(status: status_pb2.Status, wanted: Message) -> bool:
    """Whether `status` has a detail of the kind of `wanted`, which then holds it."""
    return any(detail.Unpack(wanted) for detail in status.details)
