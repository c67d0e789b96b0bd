"""From the arguments of a call to the messages of the contract; shared by both clients.

What can be known to be wrong here is refused here, in the words the server would use; bounds are
the server's business. Knows no channel and no call.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, cast

from palimpsest.canvases import Canvas, control_of
from palimpsest.errors import invalid_field
from palimpsest.prompts import ROLES, ChatMessage, ChatOptions, PromptSource, prompt_of
from palimpsest.v1 import canvas_pb2, generation_pb2, model_pb2, sampling_pb2

__all__ = [
    "ALL_DRAFTS",
    "EVERY_STEP",
    "NO_DRAFTS",
    "ROLES",
    "Canvas",
    "ChatMessage",
    "ChatOptions",
    "Options",
    "Preview",
    "PromptSource",
    "ResponseFormat",
    "Sampling",
    "count_request",
    "generate_request",
    "split",
    "stream_request",
]

Effort = Literal["low", "medium", "high"]
PreviewMode = Literal["off", "metadata", "text", "tokens"]


class ResponseFormat(TypedDict, total=False):
    """What the text of an answer must be; exactly one of these."""

    json_schema: str | Mapping[str, Any]
    """A JSON Schema, as text or parsed; properties are written in its order."""
    regex: str
    """An expression that matches the whole text."""
    choices: Sequence[str]
    """Texts of which the answer is one."""


class Sampling(TypedDict, total=False):
    """How an answer is sampled: the fields of `SamplingParameters`, one to one.

    Absent and None mean unset: the model's default, which `Model.defaults` shows.
    """

    max_output_tokens: int | None
    max_denoising_steps: int | None
    effort: Effort | None
    thinking_budget: int | None
    entropy_bound: float | None
    temperature_max: float | None
    temperature_min: float | None
    confidence_threshold: float | None
    stability_threshold: int | None
    seed: int | None
    temperature: float | None
    top_p: float | None
    top_k: int | None
    min_p: float | None
    logit_bias: Mapping[int, float] | None
    banned_token_ids: Sequence[int] | None
    allowed_token_ids: Sequence[int] | None
    repetition_penalty: float | None
    presence_penalty: float | None
    frequency_penalty: float | None
    stop_sequences: Sequence[str] | None
    stop_token_ids: Sequence[int] | None
    logprobs: int | None
    candidate_count: int | None
    response_format: ResponseFormat | None


class Options(ChatOptions, Sampling, total=False):
    """All that a call for an answer takes besides what it answers."""


def split(options: Options) -> tuple[ChatOptions, Sampling]:
    """What is for the prompt, and what is for the sampling."""
    chat = {name: value for name, value in options.items() if name in ChatOptions.__annotations__}
    sampling = {name: value for name, value in options.items() if name not in chat}
    return cast(ChatOptions, chat), cast(Sampling, sampling)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """Which drafts a stream brings."""

    mode: PreviewMode = "tokens"
    every_n_steps: int = 1
    max_rate_hz: float | None = None
    """Snapshots per second at most; None is the server's default, 30."""
    include_confidence: bool = True
    include_accepted: bool = True
    include_entropy: bool = False
    include_token_texts: bool = True


ALL_DRAFTS = Preview()
EVERY_STEP = Preview(max_rate_hz=1000)
NO_DRAFTS = Preview(mode="off")


def stream_request(
    source: PromptSource,
    about: generation_pb2.GenerationInput,
    sampling: Sampling,
    preview: Preview,
    canvas: Canvas | None = None,
) -> generation_pb2.StreamGenerateRequest:
    """The request of a streamed answer; `about` is the connection's. Raises InvalidRequest."""
    return generation_pb2.StreamGenerateRequest(
        input=_generation_input(source, about, sampling, canvas),
        preview=_preview_options(preview),
    )


def generate_request(
    source: PromptSource,
    about: generation_pb2.GenerationInput,
    sampling: Sampling,
    canvas: Canvas | None = None,
) -> generation_pb2.GenerateRequest:
    """The request of a whole answer; `about` is the connection's. Raises InvalidRequest."""
    return generation_pb2.GenerateRequest(input=_generation_input(source, about, sampling, canvas))


def count_request(source: PromptSource, model: str) -> model_pb2.CountTokensRequest:
    """The request to count a prompt. Raises InvalidRequest."""
    return model_pb2.CountTokensRequest(model=model, prompt=prompt_of(source))


def _generation_input(
    source: PromptSource,
    about: generation_pb2.GenerationInput,
    sampling: Sampling,
    canvas: Canvas | None,
) -> generation_pb2.GenerationInput:
    asked = generation_pb2.GenerationInput(
        prompt=prompt_of(source),
        sampling=_sampling(sampling),
        canvas=None if canvas is None else control_of(canvas),
    )
    asked.MergeFrom(about)
    return asked


def _sampling(sampling: Sampling) -> sampling_pb2.SamplingParameters:
    known = sampling_pb2.SamplingParameters.DESCRIPTOR.fields_by_name
    parameters = sampling_pb2.SamplingParameters()
    for name, value in sampling.items():
        if name not in known:
            raise TypeError(f"unknown argument {name!r}; sampling takes {', '.join(known)}")
        if value is None:
            continue
        if name == "effort":
            value = f"EFFORT_{str(value).upper()}"
        elif name == "response_format":
            value = _format(cast(ResponseFormat, value))
        # One field at a time, so that a refusal can name it.
        try:
            parameters.MergeFrom(sampling_pb2.SamplingParameters(**{name: value}))  # type: ignore[arg-type]
        except (ValueError, TypeError) as error:
            raise invalid_field(
                f"input.sampling.{name}", f"{value!r} does not fit: {error}"
            ) from error
    return parameters


def _format(wanted: ResponseFormat) -> dict[str, Any]:
    """As the contract has it."""
    fields: dict[str, Any] = dict(wanted)
    schema, choices = fields.get("json_schema"), fields.get("choices")
    if schema is not None and not isinstance(schema, str):
        fields["json_schema"] = json.dumps(schema)
    if choices is not None:
        fields["choices"] = {"texts": list(choices)}
    return fields


def _preview_options(preview: Preview) -> canvas_pb2.PreviewOptions:
    tokens = preview.mode == "tokens"
    try:
        return canvas_pb2.PreviewOptions(
            mode=canvas_pb2.PreviewMode.Value(f"PREVIEW_MODE_{preview.mode.upper()}"),
            every_n_steps=preview.every_n_steps,
            max_rate_hz=preview.max_rate_hz,
            include_confidence=tokens and preview.include_confidence,
            include_accepted_mask=tokens and preview.include_accepted,
            include_entropy=tokens and preview.include_entropy,
            include_token_texts=tokens and preview.include_token_texts,
        )
    except (ValueError, TypeError) as error:
        raise invalid_field("preview", f"{preview} does not fit: {error}") from error
