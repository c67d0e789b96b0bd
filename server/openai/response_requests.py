"""From the body of a response to what is asked of generation.

Nothing is kept between requests: whoever goes on sends the items of the answer back as input.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from palimpsest.engine.api import TextCodec
from palimpsest.server.openai.errors import bad_member
from palimpsest.server.openai.input_items import Turn, input_turns
from palimpsest.server.openai.members import Members
from palimpsest.server.openai.messages import chat_prompt
from palimpsest.server.openai.names import Names
from palimpsest.server.openai.requests import Asked, allowed_tools, asked_of, diffusion_members
from palimpsest.server.openai.sampling import effort, sampling, text_format
from palimpsest.server.openai.tools import tool_of
from palimpsest.v1 import chat_pb2, prompt_pb2

_ECHOED = (
    "instructions",
    "max_output_tokens",
    "metadata",
    "parallel_tool_calls",
    "reasoning",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "user",
)
_LOGPROBS = "message.output_text.logprobs"
_INCLUDED = (_LOGPROBS, "reasoning.encrypted_content")
"""Thoughts are told in plain text, so that none is encrypted."""
_ONLY = {"store": False, "background": False, "truncation": "disabled"}
"""Members that have one value here."""
_STATELESS = ("previous_response_id", "conversation")


def response_request(body: Members, codec: TextCodec) -> Asked:
    """As `requests.chat_request`."""
    echoed = body.copy(*_ECHOED)
    _refuse_what_is_kept(body)
    diffusion = diffusion_members(body)
    limit = body.integer("max_output_tokens", bits=32)
    parameters = sampling(body, diffusion, limit=limit)
    reasoning = body.members("reasoning") or Members({}, "reasoning")
    parameters.effort, may_think = effort(reasoning, "effort")
    # the thought itself is told, which is more than a summary
    reasoning.finish("summary", "generate_summary")
    logprobs = _logprobs(body)
    if logprobs is not None:
        parameters.logprobs = logprobs
    turns = input_turns(body)
    tools = [_tool(tool) for tool in body.objects("tools") or ()]
    tools = allowed_tools(body, parameters, tools, text_format(body), codec)
    chat = chat_prompt(body, [turn.message for turn in turns], tools, may_think=may_think)
    return asked_of(
        body,
        diffusion,
        prompt_pb2.Prompt(chat=chat),
        parameters,
        Names(
            prompt="input",
            limit="max_output_tokens",
            logprobs="top_logprobs",
            rules=tuple(_rules(turns)),
        ),
        one_call=body.flag("parallel_tool_calls") is False,
        echoed=echoed,
    )


def _refuse_what_is_kept(body: Members) -> None:
    for name in _STATELESS:
        if body.has(name):
            reason = "answers are not kept by this version: send the whole conversation as input"
            raise bad_member(body.path(name), reason, code="unsupported")
    for name, only in _ONLY.items():
        value = body.value(name)
        if value not in (None, only):
            shown = f"{json.dumps(value)[:40]} is not supported by this version"
            reason = f"{shown}: {json.dumps(only)} is"
            raise bad_member(body.path(name), reason, code="unsupported")
    if body.has("n"):
        raise bad_member("n", "a response is one answer", code="unsupported")
    options = body.members("stream_options")
    if options is not None:
        options.finish("include_obfuscation")


def _logprobs(body: Members) -> int | None:
    """How many alternatives are told; None: not even what was written."""
    included = body.items("include") or []
    for index, wanted in enumerate(included):
        if wanted not in _INCLUDED:
            reason = f"{wanted!r} is not supported by this version: {', '.join(_INCLUDED)} are"
            raise bad_member(f"include[{index}]", reason, code="unsupported")
    top = body.integer("top_logprobs", bits=32)
    return top if top is not None or _LOGPROBS not in included else 0


def _tool(tool: Members) -> chat_pb2.Tool:
    kind = tool.text("type")
    if kind != "function":
        reason = f"{kind!r} is not supported by this version: 'function' is"
        raise bad_member(tool.path("type"), reason, code="unsupported")
    return tool_of(tool)


def _rules(turns: list[Turn]) -> Iterator[tuple[str, str]]:
    """From the names of chat completions to where things stand in the body."""
    yield r"^tools\[(\d+)\]\.function\.", r"tools[\1]."
    yield r"^response_format$", "text.format"
    yield r"^reasoning_effort$", "reasoning.effort"
    for index, turn in enumerate(turns):
        here = rf"^messages\[{index}\]"
        for number, path in enumerate(turn.call_paths):
            yield rf"{here}\.tool_calls\[{number}\](\.function)?", path
        yield rf"{here}\.tool_call_id", f"{turn.path}.call_id"
        yield here, turn.path
    yield "^messages", "input"
