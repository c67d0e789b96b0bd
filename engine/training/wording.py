"""Words and wordings that the skills draw from."""

from __future__ import annotations

import string
from pathlib import Path
from random import Random

COMMON_SHARE = 0.2
COMMON = (Path(__file__).parent / "common_words.txt").read_text(encoding="ascii").split()
"""Real words among random ones, so that people's own questions are not strange to the model."""


def word(random: Random, *, shortest: int = 3, longest: int = 7) -> str:
    """Lower-case letters, `shortest` to `longest` of them."""
    if random.random() < COMMON_SHARE:
        fitting = [w for w in COMMON if shortest <= len(w) <= longest]
        if fitting:
            return random.choice(fitting)
    return "".join(random.choices(string.ascii_lowercase, k=random.randint(shortest, longest)))


def say(random: Random, usual: str, *others: str) -> str:
    """The usual wording most of the time, so that other wordings are known but do not dominate."""
    return usual if random.random() < 0.7 else random.choice(others)
