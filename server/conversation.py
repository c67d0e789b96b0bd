"""From a chat prompt of the contract to a conversation: parsed, checked, results joined to calls.

Pure functions. What a template makes of it is the template's business.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from google.protobuf.struct_pb2 import Struct

from palimpsest.engine.api import RESERVED_TEMPLATE_VARIABLES, InvalidRequest, Unsupported
from palimpsest.server.content import check_counts, content, refuse_media
from palimpsest.server.prompts import ChatMessage, ChatPrompt, Json, Tool, ToolCall
from palimpsest.server.structs import plain
from palimpsest.v1 import chat_pb2

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_ROLES = {
    chat_pb2.CHAT_ROLE_SYSTEM: "system",
    chat_pb2.CHAT_ROLE_DEVELOPER: "developer",
    chat_pb2.CHAT_ROLE_USER: "user",
    chat_pb2.CHAT_ROLE_ASSISTANT: "assistant",
    chat_pb2.CHAT_ROLE_TOOL: "tool",
}
_ALLOWED_CHOICES = (chat_pb2.TOOL_CHOICE_MODE_UNSPECIFIED, chat_pb2.TOOL_CHOICE_MODE_AUTO)

Waiting = dict[str, tuple[ToolCall, str]]
"""Calls that have no result yet by their ids, in order, each with the path of its field."""


def conversation(chat: chat_pb2.ChatPrompt, path: str) -> ChatPrompt:
    """Raises InvalidRequest and Unsupported; field paths begin with `path`."""
    if not chat.messages:
        raise InvalidRequest(f"{path}.messages", "is empty")
    _check_choice(chat.tool_choice, f"{path}.tool_choice")
    check_counts(chat, f"{path}.messages")
    return ChatPrompt(
        messages=tuple(_messages(chat, f"{path}.messages")),
        tools=_tools(chat, f"{path}.tools"),
        enable_thinking=chat.enable_thinking if chat.HasField("enable_thinking") else None,
        template_kwargs=_template_kwargs(chat.template_kwargs, f"{path}.template_kwargs"),
    )


def _check_choice(choice: chat_pb2.ToolChoice, path: str) -> None:
    if choice.mode not in chat_pb2.ToolChoiceMode.values():
        raise InvalidRequest(f"{path}.mode", f"{choice.mode} is not a mode")
    if choice.mode not in _ALLOWED_CHOICES:
        raise Unsupported(f"{path}.mode={chat_pb2.ToolChoiceMode.Name(choice.mode)}")


def _messages(chat: chat_pb2.ChatPrompt, path: str) -> Iterator[ChatMessage]:
    given = {call.id for message in chat.messages for call in message.tool_calls}
    names = map("call_{}".format, itertools.count())
    unused = (name for name in names if name not in given)
    waiting: Waiting = {}
    for index, message in enumerate(chat.messages):
        here = f"{path}[{index}]"
        _check_role(message, here, index)
        if message.role == chat_pb2.CHAT_ROLE_TOOL:
            call = _answered(message.tool_result, waiting, f"{here}.tool_result")
            del waiting[call.id]
            yield ChatMessage(role="tool", content=_result(message, here), answers=call)
            continue
        _refuse_waiting(waiting)
        calls = tuple(_calls(message, f"{here}.tool_calls", unused))
        waiting = {c.id: (c, f"{here}.tool_calls[{i}]") for i, c in enumerate(calls)}
        yield ChatMessage(
            role=_ROLES[message.role],
            # an answer may have ended before its first word
            content=content(message, here, required=message.role != chat_pb2.CHAT_ROLE_ASSISTANT),
            thought=message.thought,
            tool_calls=calls,
        )
    _refuse_waiting(waiting)


def _check_role(message: chat_pb2.ChatMessage, path: str, index: int) -> None:
    role = message.role
    if role not in _ROLES:
        raise InvalidRequest(f"{path}.role", f"{role} is not a role that a message may have")
    if role == chat_pb2.CHAT_ROLE_SYSTEM and index > 0:
        raise InvalidRequest(f"{path}.role", "SYSTEM only comes first")
    if role != chat_pb2.CHAT_ROLE_USER:
        refuse_media(message, path)
    if role != chat_pb2.CHAT_ROLE_ASSISTANT:
        for field in ("thought", "tool_calls"):
            if getattr(message, field):
                raise InvalidRequest(f"{path}.{field}", "only an ASSISTANT message has this")
    if message.HasField("tool_result") != (role == chat_pb2.CHAT_ROLE_TOOL):
        reason = "a TOOL message has this, and no other"
        raise InvalidRequest(f"{path}.tool_result", reason)


def _calls(message: chat_pb2.ChatMessage, path: str, unused: Iterator[str]) -> Iterator[ToolCall]:
    """The calls of a message; one without an id gets one from `unused`."""
    seen: set[str] = set()
    for index, call in enumerate(message.tool_calls):
        here = f"{path}[{index}]"
        _check_name(call.name, f"{here}.name")
        call_id = call.id or next(unused)
        if call_id in seen:
            raise InvalidRequest(f"{here}.id", f"{call_id!r} is another call's of this message")
        seen.add(call_id)
        arguments = plain(call.arguments, f"{here}.arguments")
        yield ToolCall(id=call_id, name=call.name, arguments=arguments)


def _answered(result: chat_pb2.ToolResult, waiting: Waiting, path: str) -> ToolCall:
    """The call that `result` answers."""
    if not waiting:
        raise InvalidRequest(path, "no call before it waits for a result")
    call_id = result.tool_call_id or next(iter(waiting))
    if call_id not in waiting:
        known = ", ".join(map(repr, waiting))
        raise InvalidRequest(
            f"{path}.tool_call_id", f"{call_id!r} is none of the calls that wait for one: {known}"
        )
    call, _ = waiting[call_id]
    if result.name not in ("", call.name):
        raise InvalidRequest(f"{path}.name", f"{result.name!r} is not {call.name!r} of the call")
    return call


def _result(message: chat_pb2.ChatMessage, path: str) -> str | Json:
    result = message.tool_result
    if result.HasField("response") == bool(message.parts):
        reason = "set this or tool_result.response" + (", not both" if message.parts else "")
        raise InvalidRequest(f"{path}.parts", reason)
    if message.parts:
        return "".join(part.text for part in message.parts)
    return plain(result.response, f"{path}.tool_result.response")


def _refuse_waiting(waiting: Waiting) -> None:
    for call, path in waiting.values():
        raise InvalidRequest(path, f"the call {call.id!r} of {call.name!r} has no result")


def _tools(chat: chat_pb2.ChatPrompt, path: str) -> tuple[Tool, ...]:
    names: set[str] = set()
    tools = []
    for index, tool in enumerate(chat.tools):
        here = f"{path}[{index}]"
        _check_name(tool.name, f"{here}.name")
        if tool.name in names:
            raise InvalidRequest(f"{here}.name", f"{tool.name!r} is declared twice")
        names.add(tool.name)
        parameters = response = None
        if tool.HasField("parameters"):
            parameters = plain(tool.parameters, f"{here}.parameters")
            _check_schema(parameters, f"{here}.parameters")
        if tool.HasField("response"):
            response = plain(tool.response, f"{here}.response")
        tools.append(
            Tool(
                name=tool.name,
                description=tool.description,
                parameters=parameters,
                response=response,
            )
        )
    return tuple(tools)


def _check_name(name: str, path: str) -> None:
    if _NAME.fullmatch(name) is None:
        reason = "is not 1 to 64 letters, digits, '_', '-' and '.'"
        raise InvalidRequest(path, f"{name!r} {reason}")


def _check_schema(schema: Json, path: str) -> None:
    kind = schema.get("type", "object")
    if kind != "object":
        raise InvalidRequest(f"{path}.type", f"{kind!r} is not 'object', which arguments are")
    properties = schema.get("properties", {})
    if not isinstance(properties, dict):
        raise InvalidRequest(f"{path}.properties", f"{properties!r} is not an object")
    for name, member in properties.items():
        if not isinstance(member, dict | bool):
            raise InvalidRequest(f"{path}.properties.{name}", f"{member!r} is not a schema")


def _template_kwargs(kwargs: Struct, path: str) -> Json:
    own = chat_pb2.ChatPrompt.DESCRIPTOR.fields_by_name
    for name in kwargs.fields:
        if name in RESERVED_TEMPLATE_VARIABLES or name in own:
            raise InvalidRequest(f"{path}.{name}", "is set elsewhere and cannot be set here")
    return plain(kwargs, path)
