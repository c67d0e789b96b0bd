"""The input of a response as the contract's messages.

What a model said comes as several items, a thought, a text and calls, which are one message there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from palimpsest.server.openai.errors import bad_member
from palimpsest.server.openai.media import image_part
from palimpsest.server.openai.members import Members
from palimpsest.server.openai.messages import ROLES
from palimpsest.server.openai.tools import call_of, write_result
from palimpsest.v1 import chat_pb2

_KINDS = ("message", "function_call", "function_call_output", "reasoning")
_TEXTS = ("input_text", "output_text")
_EMPTY = chat_pb2.ContentPart(text="")
_ECHOED = ("id", "status", "phase")
"""What clients send back with an item, and no model reads."""


@dataclass(slots=True)
class Turn:
    """One message, and where it stands in the body."""

    message: chat_pb2.ChatMessage
    path: str
    call_paths: list[str] = field(default_factory=list)
    """Of each of its calls."""


def input_turns(body: Members) -> list[Turn]:
    """Of `instructions` and `input`. Raises ApiError."""
    turns = []
    instructions = body.text("instructions")
    if instructions:
        turns.append(_said("system", [instructions], "instructions"))
    if body.is_list("input"):
        return [*turns, *_turns(body.objects("input") or [], body.path("input"))]
    text = body.text("input")
    return [*turns, _said("user", [text], "input")] if text else turns


def _turns(items: list[Members], path: str) -> Iterator[Turn]:
    spoken: Turn | None = None
    for index, item in enumerate(items):
        here, kind = f"{path}[{index}]", item.text("type") or "message"
        if kind not in _KINDS:
            reason = f"{kind!r} is not supported by this version: {', '.join(_KINDS)} are"
            raise bad_member(f"{here}.type", reason, code="unsupported")
        turn = _turn(kind, item, here)
        item.finish(*_ECHOED)
        if turn.message.role != chat_pb2.CHAT_ROLE_ASSISTANT:
            if spoken is not None:
                yield spoken
            yield turn
            spoken = None
        elif spoken is not None and _goes_on(spoken.message, turn.message):
            spoken.message.MergeFrom(turn.message)
            spoken.call_paths += turn.call_paths
        else:
            if spoken is not None:
                yield spoken
            spoken = turn
    if spoken is not None:
        yield spoken


def _goes_on(said: chat_pb2.ChatMessage, more: chat_pb2.ChatMessage) -> bool:
    """Whether both are of one answer: its thought comes before its text, and calls come last."""
    if more.thought:
        return False
    return bool(more.tool_calls) or not (said.parts or said.tool_calls)


def _turn(kind: str, item: Members, path: str) -> Turn:
    match kind:
        case "function_call":
            turn = _said("assistant", [], path)
            turn.message.tool_calls.append(call_of(item.text("call_id") or "", item))
            turn.call_paths.append(path)
        case "function_call_output":
            turn = _said("tool", [], path)
            turn.message.tool_result.tool_call_id = item.text("call_id") or ""
            write_result(turn.message, "".join(_texts(item, "output", _TEXTS)))
        case "reasoning":
            turn = _said("assistant", [], path)
            item.value("summary")
            item.value("encrypted_content")
            turn.message.thought = "".join(_texts(item, "content", ("reasoning_text",)))
        case _:
            role = item.text("role")
            if role not in ROLES or role == "tool":
                known = ", ".join(name for name in ROLES if name != "tool")
                raise bad_member(item.path("role"), f"{role!r} is none of {known}")
            turn = _said(role, [], path)
            # a user's keep their places, so that a complaint finds them
            parts = [part for part in _parts(item) if role == "user" or part != _EMPTY]
            turn.message.parts.extend(parts)
    return turn


def _said(role: str, texts: list[str], path: str) -> Turn:
    parts = [chat_pb2.ContentPart(text=text) for text in texts if text]
    return Turn(chat_pb2.ChatMessage(role=ROLES[role], parts=parts), path)


def _parts(item: Members) -> Iterator[chat_pb2.ContentPart]:
    """Of a message's content."""
    if not item.is_list("content"):
        text = item.text("content")
        if text:
            yield chat_pb2.ContentPart(text=text)
        return
    for part in item.objects("content") or ():
        if part.copy("type") == {"type": "input_image"}:
            part.text("type")
            yield image_part(part)
        else:
            yield chat_pb2.ContentPart(text=_text(part, _TEXTS, ("input_image",)))


def _texts(item: Members, name: str, kinds: tuple[str, ...]) -> list[str]:
    """A text, or the parts that it consists of."""
    if not item.is_list(name):
        return [item.text(name) or ""]
    return [_text(part, kinds) for part in item.objects(name) or ()]


def _text(part: Members, kinds: tuple[str, ...], more: tuple[str, ...] = ()) -> str:
    """`more` are kinds that the caller reads."""
    kind = part.text("type")
    if kind not in kinds:
        known = ", ".join((*kinds, *more))
        reason = f"{kind!r} is not supported by this version: {known} are"
        raise bad_member(part.path("type"), reason, code="unsupported")
    text = part.text("text")
    if text is None:
        raise bad_member(part.path("text"), "is missing")
    part.finish("annotations", "logprobs")
    return text
