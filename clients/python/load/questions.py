"""What a load is made of: questions of the bundled suite, or one prompt, some of them made long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from palimpsest.evaluation import suite
from palimpsest.prompts import ChatMessage

FILLING = "The quick brown fox jumps over the lazy dog. "


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One request of a load."""

    messages: Sequence[ChatMessage]
    seed: int
    is_long: bool


def questions(
    *, prompt: str | None, long_share: float, long_characters: int, seed: int
) -> Iterator[Question]:
    """Without end; the same for the same arguments.

    `long_share` of them have `long_characters` of other text before the question, different each
    time, so that no cache knows it.
    """
    random = Random(seed)
    plain = [item.messages for item in suite.load([suite.BUNDLED]) if not item.tools]
    while True:
        messages = (
            random.choice(plain) if prompt is None else ({"role": "user", "content": prompt},)
        )
        is_long = random.random() < long_share
        if is_long:
            messages = (_long(random, long_characters), *messages)
        yield Question(messages=messages, seed=random.getrandbits(63), is_long=is_long)


def _user(text: str) -> ChatMessage:
    return {"role": "user", "content": text}


def _long(random: Random, characters: int) -> ChatMessage:
    words = FILLING.split()
    text = ""
    while len(text) < characters:
        text += random.choice(words) + " "
    return {"role": "system", "content": text[:characters].strip()}
