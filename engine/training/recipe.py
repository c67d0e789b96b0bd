"""What decides, besides the code, which model comes out of training: sizes, rates, mixture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One training run. Skills are named as in `skills.SKILLS`; weights are relative."""

    steps: int
    seed: int = 0
    short_skills: Mapping[str, float]
    """Skills with short prompts and answers, mostly trained on a narrow canvas."""
    long_skills: Mapping[str, float]
    """Skills with long prompts, or answers that span canvases."""
    short_examples: int = 32
    """Examples a step, over all processes."""
    long_examples: int = 12
    long_from_step: int = 0
    """The first steps do without long examples, which cost most and need what the others teach."""
    learning_rate: float = 2e-3
    final_share: float = 0.02
    """Of the learning rate, left at the last step of the cosine."""
    warmup_steps: int = 100
    weight_decay: float = 0.02
    narrow_canvas: int = 16
    """Canvas of most short examples: the same skill for a third of the work."""
    narrow_share: float = 0.75
    probe_every: int = 600
    """Steps between measurements of the held-out accuracy."""
    probe_items: int = 12
    """Held-out questions of each skill in such a measurement."""


BUNDLED = Recipe(
    steps=10_000,
    long_from_step=2_500,
    short_skills={
        "reverse": 1.0,
        "sort": 1.0,
        "count": 1.5,
        "mark": 1.5,
        "upper": 0.5,
        "repeat": 1.0,
        "add": 1.5,
        "add_hundreds": 2.0,
        "add_thousands": 1.5,
        "compare": 1.0,
        "facts": 0.7,
        "json": 1.5,
        "note": 0.3,
        "follow_up": 1.5,
        "think": 2.0,
        "add_many": 1.5,
        "reverse_long": 1.0,
    },
    long_skills={
        "count_up": 1.5,
        "count_down": 1.5,
        "table": 1.5,
        "number_words": 1.0,
        "function": 1.0,
        "tool_call": 1.5,
        "tool_answer": 0.8,
    },
)

GROWN = Recipe(
    steps=6_000,
    probe_every=1_000,
    learning_rate=1e-3,
    short_skills={
        "reverse": 0.2,
        "sort": 0.4,
        "count": 1.5,
        "mark": 0.2,
        "upper": 0.1,
        "repeat": 0.5,
        "add": 1.0,
        "add_hundreds": 2.0,
        "add_thousands": 1.0,
        "compare": 1.0,
        "facts": 0.3,
        "json": 0.8,
        "note": 0.1,
        "follow_up": 1.0,
        "think": 3.0,
        "add_many": 0.3,
        "reverse_long": 0.8,
    },
    long_skills={
        "count_up": 1.5,
        "count_down": 2.0,
        "table": 1.2,
        "number_words": 2.5,
        "function": 1.5,
        "tool_call": 1.5,
        "tool_answer": 1.2,
    },
)
"""Goes on from a model that spells, sorts, counts and adds: most work is on what is new to it."""

SMOKE = Recipe(
    steps=6,
    short_skills={"reverse": 1.0, "think": 1.0},
    long_skills={"table": 1.0, "tool_call": 1.0},
    short_examples=4,
    long_examples=2,
    warmup_steps=2,
    probe_every=3,
    probe_items=1,
)
"""A minute's run, to see that everything works."""

RECIPES = {"bundled": BUNDLED, "grown": GROWN, "smoke": SMOKE}
