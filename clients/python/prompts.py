"""From what a caller gives to answer to the prompt of the contract; shared by both clients.

What can be known to be wrong here is refused here, in the words the server would use; whether
results fit their calls, and all bounds, are the server's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypedDict

from palimpsest.errors import invalid_field, sendable
from palimpsest.events import ToolCall
from palimpsest.media import Content, content_parts
from palimpsest.structs import struct
from palimpsest.v1 import chat_pb2, prompt_pb2

ChatMessage = Mapping[str, Any]
"""`{"role": "user", "content": "…"}`, with a role of `ROLES`. A user's content may also be a list
of texts, `Image`s and `Video`s.

An assistant's may also have a `thought` and `tool_calls`, each a `ToolCall` or the same as a
mapping. A tool's answers one of them: it has `content` or, as an object, `response`, and may name
the call by `tool_call_id` and `name`.
"""
ToolChoice = Literal["auto", "none", "required"] | Mapping[str, str]
"""A mode, or `{"mode": "…", "tool_name": "…"}`."""
ROLES = {
    "system": chat_pb2.CHAT_ROLE_SYSTEM,
    "developer": chat_pb2.CHAT_ROLE_DEVELOPER,
    "user": chat_pb2.CHAT_ROLE_USER,
    "assistant": chat_pb2.CHAT_ROLE_ASSISTANT,
    "tool": chat_pb2.CHAT_ROLE_TOOL,
}
_FIELDS = {
    "assistant": ("role", "content", "thought", "tool_calls"),
    "tool": ("role", "content", "response", "tool_call_id", "name"),
}
_PLAIN_FIELDS = ("role", "content")
_CHAT = "input.prompt.chat"


class ChatOptions(TypedDict, total=False):
    """What a conversation is answered with. Absent and None mean unset: the server's default."""

    tools: Sequence[Mapping[str, Any]] | None
    """Functions the model may call: `name`, and if wanted `description`, `parameters` (a JSON
    Schema) and `response` (another)."""
    tool_choice: ToolChoice | None
    enable_thinking: bool | None
    template_kwargs: Mapping[str, Any] | None
    """Further variables of the chat template."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSource:
    """What a call was given to answer; exactly one of the first three."""

    prompt: Content | None = None
    """One message of the user, put into the model's chat template."""
    messages: Sequence[ChatMessage] | None = None
    """A conversation."""
    raw_text: str | None = None
    """Text as it is, without the chat template."""
    options: ChatOptions = field(default_factory=ChatOptions)
    """Not with raw text."""


def prompt_of(source: PromptSource) -> prompt_pb2.Prompt:
    """Raises InvalidRequest."""
    given = [x for x in (source.prompt, source.messages, source.raw_text) if x is not None]
    if len(given) != 1:
        raise invalid_field("input.prompt", "give exactly one of a prompt, messages= and raw_text=")
    options = {name: value for name, value in source.options.items() if value is not None}
    if source.raw_text is not None:
        for name in options:
            raise invalid_field(f"{_CHAT}.{name}", "raw text has no chat template to give it to")
        return prompt_pb2.Prompt(text=sendable(source.raw_text, "input.prompt.text"))
    messages = source.messages
    if source.prompt is not None:
        messages = [{"role": "user", "content": source.prompt}]
    chat = chat_pb2.ChatPrompt(
        messages=[_message(message, index) for index, message in enumerate(messages or ())],
        tools=_tools(source.options.get("tools") or ()),
        enable_thinking=source.options.get("enable_thinking"),
    )
    if "tool_choice" in options:
        chat.tool_choice.CopyFrom(_tool_choice(options["tool_choice"]))
    if "template_kwargs" in options:
        chat.template_kwargs.CopyFrom(
            struct(options["template_kwargs"], f"{_CHAT}.template_kwargs")
        )
    return prompt_pb2.Prompt(chat=chat)


def _message(message: ChatMessage, index: int) -> chat_pb2.ChatMessage:
    path = f"{_CHAT}.messages[{index}]"
    role = str(message.get("role", ""))
    if role not in ROLES:
        raise invalid_field(f"{path}.role", f"{role!r} is none of {', '.join(ROLES)}")
    _checked(message, _FIELDS.get(role, _PLAIN_FIELDS), path, f"message of role {role}")
    written = chat_pb2.ChatMessage(role=ROLES[role])
    written.thought = _text(message, "thought", path)
    calls = message.get("tool_calls") or ()
    written.tool_calls.extend(_tool_calls(calls, f"{path}.tool_calls"))
    if message.get("content") or not (calls or "response" in message):
        content = message.get("content")
        if role != "user":
            content = _text(message, "content", path, required=True)
        written.parts.extend(content_parts(content, f"{path}.content"))
    if role == "tool":
        written.tool_result.CopyFrom(_tool_result(message, path))
    return written


def _tool_calls(calls: Sequence[object], path: str) -> Iterator[chat_pb2.ToolCall]:
    for index, call in enumerate(calls):
        here = f"{path}[{index}]"
        given = asdict(call) if isinstance(call, ToolCall) else call
        fields = _checked(given, ("id", "name", "arguments"), here, "call")
        arguments = struct(fields.get("arguments") or {}, f"{here}.arguments")
        name = _text(fields, "name", here, required=True)
        yield chat_pb2.ToolCall(id=_text(fields, "id", here), name=name, arguments=arguments)


def _tool_result(message: ChatMessage, path: str) -> chat_pb2.ToolResult:
    result = chat_pb2.ToolResult(
        tool_call_id=_text(message, "tool_call_id", path), name=_text(message, "name", path)
    )
    if "response" in message:
        result.response.CopyFrom(struct(message["response"], f"{path}.response"))
    return result


def _tools(tools: Sequence[Mapping[str, Any]]) -> Iterator[chat_pb2.Tool]:
    for index, tool in enumerate(tools):
        path = f"{_CHAT}.tools[{index}]"
        _checked(tool, ("name", "description", "parameters", "response"), path, "tool")
        declared = chat_pb2.Tool(
            name=_text(tool, "name", path, required=True),
            description=_text(tool, "description", path),
        )
        for schema in ("parameters", "response"):
            if tool.get(schema) is not None:
                getattr(declared, schema).CopyFrom(struct(tool[schema], f"{path}.{schema}"))
        yield declared


def _tool_choice(choice: object) -> chat_pb2.ToolChoice:
    path = f"{_CHAT}.tool_choice"
    given = {"mode": choice} if isinstance(choice, str) else choice
    fields = _checked(given, ("mode", "tool_name"), path, "tool choice")
    mode = f"TOOL_CHOICE_MODE_{_text(fields, 'mode', path).upper() or 'AUTO'}"
    if mode not in chat_pb2.ToolChoiceMode.keys():  # noqa: SIM118 - it is no mapping
        raise invalid_field(f"{path}.mode", f"{fields['mode']!r} is none of auto, none, required")
    return chat_pb2.ToolChoice(
        mode=chat_pb2.ToolChoiceMode.Value(mode), tool_name=_text(fields, "tool_name", path)
    )


def _text(fields: Mapping[str, Any], name: str, path: str, *, required: bool = False) -> str:
    value = fields.get(name)
    if isinstance(value, str):
        return sendable(value, f"{path}.{name}")
    if value is None and not required:
        return ""
    raise invalid_field(f"{path}.{name}", f"{value!r} is not text")


def _checked(fields: object, known: Sequence[str], path: str, what: str) -> Mapping[str, Any]:
    """`fields` itself, which may have no other names than those `known`."""
    if not isinstance(fields, Mapping):
        raise invalid_field(path, f"{fields!r} is not a mapping with {', '.join(known)}")
    for name in sorted(set(fields) - set(known)):
        raise invalid_field(f"{path}.{name}", f"unknown field; a {what} has {', '.join(known)}")
    return fields
