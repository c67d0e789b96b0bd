"""A conversation of a body as the contract's: messages, tools and variables of the template."""

from __future__ import annotations

import json
from collections.abc import Sequence

from google.protobuf.struct_pb2 import Struct

from palimpsest.server.openai.errors import bad_member
from palimpsest.server.openai.media import image_part, video_part
from palimpsest.server.openai.members import Members
from palimpsest.server.openai.tools import call_of, exact_struct, tool_of, write_result
from palimpsest.v1 import chat_pb2

ROLES = {
    "system": chat_pb2.CHAT_ROLE_SYSTEM,
    "developer": chat_pb2.CHAT_ROLE_DEVELOPER,
    "user": chat_pb2.CHAT_ROLE_USER,
    "assistant": chat_pb2.CHAT_ROLE_ASSISTANT,
    "tool": chat_pb2.CHAT_ROLE_TOOL,
}
_TEXT = ("text",)
_ALL = ("text", "image_url", "video_url")
_ECHOED = ("annotations",)
"""What clients send back with an assistant's message, and no model reads."""


def chat_messages(body: Members) -> list[chat_pb2.ChatMessage]:
    """Those of chat completions. Raises ApiError."""
    return [_message(message) for message in body.objects("messages") or ()]


def chat_tools(body: Members) -> list[chat_pb2.Tool]:
    """Those of chat completions. Raises ApiError."""
    return [_tool(tool) for tool in body.objects("tools") or ()]


def chat_prompt(
    body: Members,
    messages: Sequence[chat_pb2.ChatMessage],
    tools: Sequence[chat_pb2.Tool],
    *,
    may_think: bool,
) -> chat_pb2.ChatPrompt:
    """With the variables of the template that `body` sets. Raises ApiError."""
    thinking, variables = _template_variables(body)
    if thinking and not may_think:
        reason = "cannot be true where the effort of reasoning is 'none'"
        raise bad_member("chat_template_kwargs.enable_thinking", reason)
    return chat_pb2.ChatPrompt(
        messages=messages,
        tools=tools,
        enable_thinking=thinking if may_think else False,
        template_kwargs=variables,
    )


def may_call(body: Members) -> bool:
    """Whether `tool_choice` allows calls. Raises ApiError for one that cannot be kept."""
    choice = body.value("tool_choice")
    if choice not in (None, "auto", "none"):
        reason = f"{json.dumps(choice)} is not supported by this version: 'auto' and 'none' are"
        raise bad_member(body.path("tool_choice"), reason, code="unsupported")
    return choice != "none"


def _template_variables(body: Members) -> tuple[bool | None, Struct | None]:
    variables = body.members("chat_template_kwargs")
    if variables is None:
        return None, None
    thinking = variables.flag("enable_thinking")
    rest = {name: variables.value(name) for name in variables.names()}
    return thinking, exact_struct(rest, "chat_template_kwargs") if rest else None


def _message(message: Members) -> chat_pb2.ChatMessage:
    role = message.text("role")
    if role not in ROLES:
        raise bad_member(message.path("role"), f"{role!r} is none of {', '.join(ROLES)}")
    written = chat_pb2.ChatMessage(
        role=ROLES[role],
        thought=message.text("reasoning_content") or "",
        tool_calls=[_call(call) for call in message.objects("tool_calls") or ()],
    )
    if role == "tool":
        written.tool_result.tool_call_id = message.text("tool_call_id") or ""
        written.tool_result.name = message.text("name") or ""
        write_result(written, "".join(part.text for part in _parts(message, _TEXT)))
    else:
        written.parts.extend(_parts(message, _ALL))
    message.finish(*_ECHOED)
    return written


def _parts(message: Members, kinds: tuple[str, ...]) -> list[chat_pb2.ContentPart]:
    """The pieces of a message's content."""
    if message.is_list("content"):
        return [_part(part, kinds) for part in message.objects("content") or ()]
    text = message.text("content")
    return [chat_pb2.ContentPart(text=text)] if text else []


def _part(part: Members, kinds: tuple[str, ...]) -> chat_pb2.ContentPart:
    kind = part.text("type")
    if kind not in kinds:
        reason = f"{kind!r} is not supported by this version: {', '.join(kinds)} are"
        raise bad_member(part.path("type"), reason, code="unsupported")
    if kind == "image_url":
        return image_part(part)
    if kind == "video_url":
        return video_part(part)
    text = part.text("text")
    if text is None:
        raise bad_member(part.path("text"), "is missing")
    part.finish()
    return chat_pb2.ContentPart(text=text)


def _call(call: Members) -> chat_pb2.ToolCall:
    function = _function(call)
    identifier = call.text("id") or ""
    call.finish("index")
    written = call_of(identifier, function)
    function.finish()
    return written


def _tool(tool: Members) -> chat_pb2.Tool:
    function = _function(tool)
    tool.finish()
    return tool_of(function)


def _function(holder: Members) -> Members:
    kind = holder.text("type")
    if kind not in (None, "function"):
        reason = f"{kind!r} is not supported by this version: 'function' is"
        raise bad_member(holder.path("type"), reason, code="unsupported")
    function = holder.members("function")
    if function is None:
        raise bad_member(holder.path("function"), "is missing")
    return function
