"""Conversations whose second question cannot be answered without the first."""

from __future__ import annotations

from random import Random

from palimpsest.engine.training.items import Item, ask, assistant, user
from palimpsest.engine.training.wording import say, word


def note(random: Random) -> Item:
    """The first turn alone."""
    statement, about = random.choice((_word, _number))(random)
    return ask(statement, f"note {about}", "noted")


def follow_up(random: Random) -> Item:
    """The second turn, on what the first one said."""
    statement, about = random.choice((_word, _number))(random)
    question, answer = _about_number(random, int(about)) if about.isdigit() else _on(random, about)
    messages = (user(statement), assistant("noted"), user(question))
    return Item(messages=messages, canonical=f"follow {about} {question}", answer=answer)


def _word(random: Random) -> tuple[str, str]:
    given = word(random)
    return say(random, "my word is {}", "remember the word {}").format(given), given


def _number(random: Random) -> tuple[str, str]:
    given = str(random.randint(0, 99))
    return say(random, "my number is {}", "remember the number {}").format(given), given


def _on(random: Random, given: str) -> tuple[str, str]:
    return random.choice(
        (
            ("reverse my word", given[::-1]),
            ("sort the letters of my word", "".join(sorted(given))),
            ("write my word in capitals", given.upper()),
            ("what is my word?", given),
        )
    )


def _about_number(random: Random, given: int) -> tuple[str, str]:
    other = random.randint(0, 99)
    return random.choice(
        (
            (f"add {other} to my number", str(given + other)),
            ("what is my number?", str(given)),
        )
    )
