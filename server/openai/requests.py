"""From a body to what is asked of generation: a message of the contract, and how to answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from palimpsest.engine.api import Marker, TextCodec
from palimpsest.server.openai.errors import bad_member
from palimpsest.server.openai.members import Members
from palimpsest.server.openai.messages import chat_messages, chat_prompt, chat_tools, may_call
from palimpsest.server.openai.names import Names
from palimpsest.server.openai.sampling import effort, response_format, sampling, token_limit
from palimpsest.v1 import canvas_pb2, chat_pb2, generation_pb2, prompt_pb2, sampling_pb2

_HARMLESS = (
    "metadata",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "user",
)
"""They change nothing of an answer; what is neither acted on nor here is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A body, read."""

    message: generation_pb2.StreamGenerateRequest
    names: Names
    stream: bool
    include_usage: bool
    """Of a stream; a whole answer always says it."""
    report: bool
    """Whether steps and speeds are told at the end."""
    one_call: bool
    """Whether an answer may hold one tool call at most; further ones are left out."""
    echoed: Mapping[str, Any]
    """Members of the body that the answer repeats."""


def chat_request(body: Members, codec: TextCodec) -> Asked:
    """Raises ApiError for what cannot be said in the contract, which checks the rest."""
    names = _names(body, prompt="messages", logprobs="top_logprobs")
    diffusion = diffusion_members(body)
    parameters = sampling(body, diffusion, limit=token_limit(body))
    parameters.effort, may_think = effort(body, "reasoning_effort")
    logprobs = _chat_logprobs(body)
    if logprobs is not None:
        parameters.logprobs = logprobs
    messages, tools = chat_messages(body), chat_tools(body)
    tools = allowed_tools(body, parameters, tools, response_format(body), codec)
    chat = chat_prompt(body, messages, tools, may_think=may_think)
    return asked_of(
        body,
        diffusion,
        prompt_pb2.Prompt(chat=chat),
        parameters,
        names,
        one_call=body.flag("parallel_tool_calls") is False,
        include_usage=_include_usage(body),
    )


def allowed_tools(
    body: Members,
    parameters: sampling_pb2.SamplingParameters,
    tools: list[chat_pb2.Tool],
    form: sampling_pb2.ResponseFormat | None,
    codec: TextCodec,
) -> list[chat_pb2.Tool]:
    """Those that are shown to the model; `parameters` forbid what may not be written."""
    calls = may_call(body)
    if form is not None:
        parameters.response_format.CopyFrom(form)
    elif not calls:
        # tools that are not shown might still be called
        parameters.banned_token_ids.extend(_ids(codec, Marker.CALL))
    return tools if calls else []


def completion_request(body: Members, _: TextCodec) -> Asked:
    """As `chat_request`, of a prompt that is continued as it is."""
    names = _names(body, prompt="prompt", logprobs="logprobs")
    diffusion = diffusion_members(body)
    parameters = sampling(body, diffusion, limit=token_limit(body))
    logprobs = body.integer("logprobs", bits=32)
    if logprobs is not None:
        parameters.logprobs = logprobs
    if body.flag("echo"):
        raise bad_member("echo", "true is not supported by this version", code="unsupported")
    usage = _include_usage(body)
    return asked_of(
        body, diffusion, _prompt(body), parameters, names, one_call=False, include_usage=usage
    )


def asked_of(
    body: Members,
    diffusion: Members,
    prompt: prompt_pb2.Prompt,
    parameters: sampling_pb2.SamplingParameters,
    names: Names,
    *,
    one_call: bool,
    include_usage: bool = False,
    echoed: Mapping[str, Any] | None = None,
) -> Asked:
    """What all APIs have, and the refusal of what none has."""
    stream = bool(body.flag("stream"))
    asked = generation_pb2.GenerationInput(
        model=body.text("model") or "", prompt=prompt, sampling=parameters
    )
    preview, report = _preview(diffusion, stream=stream), bool(diffusion.flag("report"))
    diffusion.finish()
    body.finish(*_HARMLESS)
    return Asked(
        message=generation_pb2.StreamGenerateRequest(input=asked, preview=preview),
        names=names,
        stream=stream,
        include_usage=include_usage,
        report=report,
        one_call=one_call,
        echoed=echoed or {},
    )


def _names(body: Members, *, prompt: str, logprobs: str) -> Names:
    new = body.has("max_completion_tokens")
    limit = "max_completion_tokens" if new else "max_tokens"
    return Names(prompt=prompt, limit=limit, logprobs=logprobs)


def diffusion_members(body: Members) -> Members:
    return body.members("diffusion") or Members({}, "diffusion")


def _preview(diffusion: Members, *, stream: bool) -> canvas_pb2.PreviewOptions:
    wanted = diffusion.flag("previews")
    if wanted and not stream:
        raise bad_member(diffusion.path("previews"), "true needs stream to be true")
    return canvas_pb2.PreviewOptions(
        mode=canvas_pb2.PREVIEW_MODE_TEXT if wanted else canvas_pb2.PREVIEW_MODE_OFF,
        max_rate_hz=diffusion.number("max_rate_hz"),
        every_n_steps=diffusion.integer("every_n_steps", bits=32) or 0,
    )


def _include_usage(body: Members) -> bool:
    options = body.members("stream_options")
    if options is None:
        return False
    wanted = bool(options.flag("include_usage"))
    options.finish("include_obfuscation")
    return wanted


def _chat_logprobs(body: Members) -> int | None:
    wanted, top = body.flag("logprobs"), body.integer("top_logprobs", bits=32)
    if top and not wanted:
        raise bad_member(body.path("top_logprobs"), f"{top} needs logprobs to be true")
    return (top or 0) if wanted else None


def _prompt(body: Members) -> prompt_pb2.Prompt:
    """Text or token ids; a list that holds one of these is the same."""
    if not body.is_list("prompt"):
        return prompt_pb2.Prompt(text=body.text("prompt") or "")
    given = body.items("prompt") or []
    if len(given) == 1 and isinstance(given[0], str):
        return prompt_pb2.Prompt(text=given[0])
    if len(given) == 1 and isinstance(given[0], list):
        given = given[0]
    if not all(type(token) is int and 0 <= token < 2**32 for token in given):
        raise bad_member("prompt", "is neither one text nor the token ids of one")
    return prompt_pb2.Prompt(tokens=prompt_pb2.TokenPrompt(token_ids=given))


def _ids(codec: TextCodec, marker: Marker) -> list[int]:
    return [token for token, other in codec.markers.items() if other is marker]
