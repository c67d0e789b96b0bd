"""What one question of a skill is, and which questions are held out from training.

Whether a question is held out depends on a stable hash of its canonical form (for a sum: the
unordered numbers), never on its wording, so no held-out question was trained on in other words.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from PIL import Image

from palimpsest.engine.training.drawing import Shape

HELD_OUT_SHARE = 0.15

Message = Mapping[str, Any]
"""As chat templates take them: role, content, and for tools `tool_calls` and `name`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A tool call that the model should make."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Still:
    """A picture, or a frame of a video."""

    picture: Image.Image
    shapes: tuple[Shape, ...]
    """What is on it, the last on top."""
    seconds: float = 0.0
    """From the video's start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A conversation, what it is about, and the only right way to go on."""

    messages: tuple[Message, ...]
    canonical: str
    answer: str = ""
    """Empty only where a call is right."""
    thought: str = ""
    """Written before the answer if the item thinks."""
    call: Call | None = None
    tools: tuple[Mapping[str, Any], ...] = ()
    media: tuple[Still | tuple[Still, ...], ...] = ()
    """Images, and videos as their frames, in the order of the parts of messages for them."""
    thinking: bool = False
    """Whether the thinking switch is on."""

    @property
    def held_out(self) -> bool:
        """True for the share of questions that training never sees."""
        digest = hashlib.sha256(self.canonical.encode()).digest()
        return int.from_bytes(digest[:4], "big") < HELD_OUT_SHARE * 2**32


Task = Callable[[Random], Item]
"""Draws one item of a skill, from either side of the split."""


def ask(question: str, canonical: str, answer: str) -> Item:
    """The plain item: one question, one answer."""
    return Item(messages=(user(question),), canonical=canonical, answer=answer)


def user(content: str | list[Mapping[str, str]]) -> Message:
    return {"role": "user", "content": content}


def assistant(content: str) -> Message:
    return {"role": "assistant", "content": content}


def draw(task: Task, random: Random, *, held_out: bool) -> Item:
    """A random item from one side of the split."""
    while (item := task(random)).held_out != held_out:
        pass
    return item


def held_out_items(task: Task, count: int, seed: int) -> list[Item]:
    """`count` held-out items, each about something else."""
    random, items = Random(f"held out {seed}"), {}
    while len(items) < count:
        item = draw(task, random, held_out=True)
        items.setdefault(item.canonical, item)
    return list(items.values())
