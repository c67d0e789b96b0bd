"""A conversation of a body as the contract's: messages, tools and variables of the template."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf.struct_pb2 import Struct

from palimpsest.engine.api import InvalidRequest
from palimpsest.server.openai.errors import bad_member
from palimpsest.server.openai.members import Members
from palimpsest.server.structs import plain, struct
from palimpsest.v1 import chat_pb2

_ROLES = {
    "system": chat_pb2.CHAT_ROLE_SYSTEM,
    "developer": chat_pb2.CHAT_ROLE_DEVELOPER,
    "user": chat_pb2.CHAT_ROLE_USER,
    "assistant": chat_pb2.CHAT_ROLE_ASSISTANT,
    "tool": chat_pb2.CHAT_ROLE_TOOL,
}
_MAX_LEVELS = 32
"""Of JSON inside a message; more cannot be sent over gRPC either."""
_ECHOED = ("annotations",)
"""What clients send back with an assistant's message, and no model reads."""


def chat_prompt(body: Members, *, may_call: bool, may_think: bool) -> chat_pb2.ChatPrompt:
    """Raises ApiError. Where calls are not wanted, tools are not shown."""
    tools = [_tool(tool) for tool in body.objects("tools") or ()]
    thinking, variables = _template_variables(body)
    if thinking and not may_think:
        reason = "cannot be true where reasoning_effort is 'none'"
        raise bad_member("chat_template_kwargs.enable_thinking", reason)
    return chat_pb2.ChatPrompt(
        messages=[_message(message) for message in body.objects("messages") or ()],
        tools=tools if may_call else (),
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
    return thinking, _struct(rest, "chat_template_kwargs") if rest else None


def _message(message: Members) -> chat_pb2.ChatMessage:
    role = message.text("role")
    if role not in _ROLES:
        raise bad_member(message.path("role"), f"{role!r} is none of {', '.join(_ROLES)}")
    texts = _texts(message)
    written = chat_pb2.ChatMessage(
        role=_ROLES[role],
        thought=message.text("reasoning_content") or "",
        tool_calls=[_call(call) for call in message.objects("tool_calls") or ()],
    )
    if role == "tool":
        written.tool_result.tool_call_id = message.text("tool_call_id") or ""
        written.tool_result.name = message.text("name") or ""
        _write_result(written, "".join(texts))
    else:
        written.parts.extend(chat_pb2.ContentPart(text=text) for text in texts)
    message.finish(*_ECHOED)
    return written


def _texts(message: Members) -> list[str]:
    """The pieces of a message's content."""
    if message.is_list("content"):
        return [_text(part) for part in message.objects("content") or ()]
    text = message.text("content")
    return [text] if text else []


def _text(part: Members) -> str:
    kind = part.text("type")
    if kind != "text":
        reason = f"{kind!r} is not supported by this version: only parts of type 'text' are"
        raise bad_member(part.path("type"), reason, code="unsupported")
    text = part.text("text")
    if text is None:
        raise bad_member(part.path("text"), "is missing")
    part.finish()
    return text


def _write_result(message: chat_pb2.ChatMessage, text: str) -> None:
    """A result that is a JSON object is shown to the model as one; all others are text."""
    response = _exact_object(text)
    if response is not None:
        message.tool_result.response.CopyFrom(response)
    else:
        message.parts.append(chat_pb2.ContentPart(text=text))


def _exact_object(text: str) -> Struct | None:
    """The JSON object that `text` is; None if it is not one, or one that doubles would change."""
    try:
        value = json.loads(text)
        if not isinstance(value, dict) or _is_deeper(value, _MAX_LEVELS):
            return None
        written = struct(value)
        return written if plain(written, "") == value else None
    except (ValueError, OverflowError, RecursionError, InvalidRequest):
        return None


def _call(call: Members) -> chat_pb2.ToolCall:
    function = _function(call)
    name, written = function.text("name") or "", function.text("arguments") or "{}"
    function.finish()
    path = function.path("arguments")
    try:
        arguments = json.loads(written)
    except (ValueError, RecursionError) as problem:
        raise bad_member(path, f"is not JSON: {problem}") from None
    if not isinstance(arguments, dict):
        raise bad_member(path, f"{written[:40]} is not a JSON object")
    identifier = call.text("id") or ""
    call.finish("index")
    return chat_pb2.ToolCall(id=identifier, name=name, arguments=_struct(arguments, path))


def _tool(tool: Members) -> chat_pb2.Tool:
    function = _function(tool)
    tool.finish()
    parameters = function.plain("parameters")
    path = function.path("parameters")
    written = chat_pb2.Tool(
        name=function.text("name") or "",
        description=function.text("description") or "",
        parameters=None if parameters is None else _struct(parameters, path),
    )
    # calls are read, not forced: one that does not fit its schema is given as the model wrote it
    function.finish("strict")
    return written


def _function(holder: Members) -> Members:
    kind = holder.text("type")
    if kind not in (None, "function"):
        reason = f"{kind!r} is not supported by this version: 'function' is"
        raise bad_member(holder.path("type"), reason, code="unsupported")
    function = holder.members("function")
    if function is None:
        raise bad_member(holder.path("function"), "is missing")
    return function


def _struct(members: dict[str, Any], path: str) -> Struct:
    if _is_deeper(members, _MAX_LEVELS):
        raise bad_member(path, f"is nested more than {_MAX_LEVELS} levels deep")
    try:
        return struct(members)
    except (ValueError, OverflowError) as problem:
        raise bad_member(path, f"cannot be read: {problem}") from None


def _is_deeper(value: object, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(item, levels - 1) for item in inner)
