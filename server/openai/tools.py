"""Functions of a body as the contract's: their declarations, calls of them and results."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf.struct_pb2 import Struct

from palimpsest.engine.api import InvalidRequest
from palimpsest.server.openai.errors import bad_member
from palimpsest.server.openai.members import Members
from palimpsest.server.structs import plain, struct
from palimpsest.v1 import chat_pb2

_MAX_LEVELS = 32
"""Of JSON inside a message; more cannot be sent over gRPC either."""


def tool_of(function: Members) -> chat_pb2.Tool:
    """The declaration that `function` is. Raises ApiError."""
    parameters = function.plain("parameters")
    path = function.path("parameters")
    written = chat_pb2.Tool(
        name=function.text("name") or "",
        description=function.text("description") or "",
        parameters=None if parameters is None else exact_struct(parameters, path),
    )
    # calls are read, not forced: one that does not fit its schema is given as the model wrote it
    function.finish("strict")
    return written


def call_of(identifier: str, function: Members) -> chat_pb2.ToolCall:
    """The call whose name and arguments `function` holds. Raises ApiError."""
    name, written = function.text("name") or "", function.text("arguments") or "{}"
    path = function.path("arguments")
    try:
        arguments = json.loads(written)
    except (ValueError, RecursionError) as problem:
        raise bad_member(path, f"is not JSON: {problem}") from None
    if not isinstance(arguments, dict):
        raise bad_member(path, f"{written[:40]} is not a JSON object")
    return chat_pb2.ToolCall(id=identifier, name=name, arguments=exact_struct(arguments, path))


def write_result(message: chat_pb2.ChatMessage, text: str) -> None:
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


def exact_struct(members: dict[str, Any], path: str) -> Struct:
    """Raises ApiError for what `path` cannot hold."""
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
