"""What one question of a suite is, and how a line of JSON becomes one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from palimpsest.errors import InvalidRequest
from palimpsest.evaluation import matchers, pictures
from palimpsest.evaluation.lines import Line, shown
from palimpsest.evaluation.matchers import Matcher
from palimpsest.evaluation.pictures import Medium, media_of
from palimpsest.prompts import ChatOptions, PromptSource, prompt_of

FIELDS = (
    "prompt",
    "images",
    "video",
    "messages",
    "tools",
    "enable_thinking",
    "expected",
    "matcher",
    "id",
    "skill",
    "max_output_tokens",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One question and its right answer."""

    id: str
    """Unique within its skill; runs are compared by it."""
    skill: str
    messages: tuple[Mapping[str, Any], ...]
    """The conversation to continue, as `Client.generate` takes it, in words."""
    media: tuple[Medium, ...] = ()
    """What is shown before the words of a conversation of one message."""
    tools: tuple[Mapping[str, Any], ...] = ()
    enable_thinking: bool | None = None
    """None leaves it to the server."""
    expected: Any
    matcher: Matcher = Matcher.EXACT
    max_output_tokens: int | None = None
    """None is the checkpoint's default."""

    @property
    def question(self) -> str:
        """What is asked last, for people to read."""
        content = self.messages[-1].get("content", "")
        return content if isinstance(content, str) else shown(content)

    @property
    def conversation(self) -> tuple[Mapping[str, Any], ...]:
        """Words and pictures."""
        if not self.media:
            return self.messages
        (message,) = self.messages
        return ({**message, "content": [*self.media, message["content"]]},)


def item_of(line: Line) -> Item:
    """The item of one line of a suite. Raises BadInput."""
    line.refuse_unknown(FIELDS)
    if "expected" not in line.fields:
        raise line.refusal("expected", "is missing")
    expected, matcher = line.fields["expected"], _matcher(line)
    objection = matchers.objection(matcher, expected)
    if objection is not None:
        raise line.refusal("expected", f"{shown(expected)} {objection} (matcher {matcher})")
    limit = line.get("max_output_tokens", int)
    if limit is not None and limit < 1:
        raise line.refusal("max_output_tokens", f"{limit} is below 1")
    item = identified(
        Item(
            id=line.get("id", str) or "",
            skill=line.get("skill", str) or line.path.stem,
            messages=_messages(line),
            media=media_of(line),
            tools=_objects(line, "tools"),
            enable_thinking=line.get("enable_thinking", bool),
            expected=expected,
            matcher=matcher,
            max_output_tokens=limit,
        )
    )
    _refuse_unaskable(line, item)
    return item


def identified(item: Item) -> Item:
    """The item itself, or if its id is empty, with one made of its content: the same question has
    the same id wherever it stands.
    """
    if item.id:
        return item
    content = [item.messages, item.tools, item.enable_thinking, item.matcher, item.expected]
    content += [pictures.digest(item.media)] if item.media else []
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return replace(item, id=digest[:12])


def asked(prompt: str) -> tuple[Mapping[str, Any], ...]:
    """The conversation that a prompt begins."""
    return ({"role": "user", "content": prompt},)


def _matcher(line: Line) -> Matcher:
    name = line.get("matcher", str) or Matcher.EXACT
    if name not in list(Matcher):
        raise line.refusal("matcher", f"{shown(name)} is none of {', '.join(Matcher)}")
    return Matcher(name)


def _messages(line: Line) -> tuple[Mapping[str, Any], ...]:
    prompt, messages = line.get("prompt", str), _objects(line, "messages")
    if prompt is not None and messages:
        raise line.refusal("messages", "stands beside a prompt; give one of the two")
    if prompt is not None:
        return asked(prompt)
    for field in ("images", "video"):
        if line.fields.get(field) is not None:
            raise line.refusal(field, "stands before a prompt, and there is none")
    if not messages:
        raise line.refusal("prompt", "is missing, and so are messages")
    return messages


def _refuse_unaskable(line: Line, item: Item) -> None:
    """Raises BadInput for what the client would refuse when the item is asked."""
    options = ChatOptions(tools=item.tools, enable_thinking=item.enable_thinking)
    try:
        prompt_of(PromptSource(messages=item.conversation, options=options))
    except InvalidRequest as error:
        [violation] = error.violations
        field = violation.field.removeprefix("input.prompt.chat.")
        raise line.refusal(field, violation.description) from error


def _objects(line: Line, field: str) -> tuple[Mapping[str, Any], ...]:
    values = tuple(line.get(field, list) or ())
    for index, value in enumerate(values):
        if not isinstance(value, dict):
            raise line.refusal(f"{field}[{index}]", f"{shown(value)} is not an object")
    return values
