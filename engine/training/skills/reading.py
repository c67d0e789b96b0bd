"""Questions about what the question itself says; the answer is one of a few."""

from __future__ import annotations

from random import Random

from palimpsest.engine.training.items import Item, ask
from palimpsest.engine.training.wording import COMMON, say

COLOURS = ("red", "blue", "green", "yellow", "white", "black", "brown", "pink")
THINGS = tuple(word for word in COMMON if word not in COLOURS)


def colour(random: Random) -> Item:
    """Which of two things has which colour."""
    pairs = list(zip(random.sample(THINGS, 2), random.sample(COLOURS, 2), strict=True))
    statement = ", ".join(f"the {thing} is {one}" for thing, one in pairs)
    thing, answer = random.choice(pairs)
    question = say(
        random, "what colour is the {}?", "which colour has the {}?", "the colour of the {}?"
    )
    known = " ".join(sorted(map("=".join, pairs)))
    return ask(f"{statement}. {question.format(thing)}", f"colour {known} {thing}", answer)
