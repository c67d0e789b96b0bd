"""From the arguments of a call to the messages of the contract; shared by both clients.

What can be known to be wrong here is refused here, in the words the server would use; bounds are
the server's business. Knows no channel and no call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from palimpsest.errors import FieldViolation, InvalidRequest
from palimpsest.v1 import (
    canvas_pb2,
    chat_pb2,
    generation_pb2,
    model_pb2,
    prompt_pb2,
    sampling_pb2,
)

Effort = Literal["low", "medium", "high"]
PreviewMode = Literal["off", "metadata", "text", "tokens"]
ChatMessage = Mapping[str, str]
"""`{"role": "user", "content": "…"}`, with a role of `ROLES`."""
ROLES = {
    "system": chat_pb2.CHAT_ROLE_SYSTEM,
    "developer": chat_pb2.CHAT_ROLE_DEVELOPER,
    "user": chat_pb2.CHAT_ROLE_USER,
    "assistant": chat_pb2.CHAT_ROLE_ASSISTANT,
}


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
    response_format: Mapping[str, Any] | None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSource:
    """What a call was given to answer; exactly one of the three."""

    prompt: str | None = None
    """One message of the user, put into the model's chat template."""
    messages: Sequence[ChatMessage] | None = None
    """A conversation."""
    raw_text: str | None = None
    """Text as it is, without the chat template."""


def stream_request(
    source: PromptSource, model: str, sampling: Sampling, preview: Preview
) -> generation_pb2.StreamGenerateRequest:
    """The request of a streamed answer. Raises InvalidRequest."""
    return generation_pb2.StreamGenerateRequest(
        input=_generation_input(source, model, sampling), preview=_preview_options(preview)
    )


def generate_request(
    source: PromptSource, model: str, sampling: Sampling
) -> generation_pb2.GenerateRequest:
    """The request of a whole answer. Raises InvalidRequest."""
    return generation_pb2.GenerateRequest(input=_generation_input(source, model, sampling))


def count_request(source: PromptSource, model: str) -> model_pb2.CountTokensRequest:
    """The request to count a prompt. Raises InvalidRequest."""
    return model_pb2.CountTokensRequest(model=model, prompt=_prompt(source))


def _generation_input(
    source: PromptSource, model: str, sampling: Sampling
) -> generation_pb2.GenerationInput:
    return generation_pb2.GenerationInput(
        model=model, prompt=_prompt(source), sampling=_sampling(sampling)
    )


def _prompt(source: PromptSource) -> prompt_pb2.Prompt:
    given = [x for x in (source.prompt, source.messages, source.raw_text) if x is not None]
    if len(given) != 1:
        raise _invalid("input.prompt", "give exactly one of a prompt, messages= and raw_text=")
    if source.raw_text is not None:
        return prompt_pb2.Prompt(text=source.raw_text)
    messages = source.messages
    if source.prompt is not None:
        messages = [{"role": "user", "content": source.prompt}]
    return prompt_pb2.Prompt(
        chat=chat_pb2.ChatPrompt(
            messages=[_message(index, message) for index, message in enumerate(messages or ())]
        )
    )


def _message(index: int, message: ChatMessage) -> chat_pb2.ChatMessage:
    path = f"input.prompt.chat.messages[{index}]"
    unknown = sorted(set(message) - {"role", "content"})
    if unknown:
        raise _invalid(f"{path}.{unknown[0]}", "unknown field; a message has role and content")
    role = str(message.get("role", ""))
    if role not in ROLES:
        raise _invalid(f"{path}.role", f"{role!r} is none of {', '.join(ROLES)}")
    content = message.get("content")
    if not isinstance(content, str):
        raise _invalid(f"{path}.content", f"{content!r} is not text")
    return chat_pb2.ChatMessage(
        role=ROLES[role],
        parts=[chat_pb2.ContentPart(text=content)],
    )


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
        # One field at a time, so that a refusal can name it.
        try:
            parameters.MergeFrom(sampling_pb2.SamplingParameters(**{name: value}))  # type: ignore[arg-type]
        except (ValueError, TypeError) as error:
            raise _invalid(f"input.sampling.{name}", f"{value!r} does not fit: {error}") from error
    return parameters


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
        raise _invalid("preview", f"{preview} does not fit: {error}") from error


def _invalid(field: str, description: str) -> InvalidRequest:
    violation = FieldViolation(field=field, description=description)
    return InvalidRequest(f"{field}: {description}", (violation,))
