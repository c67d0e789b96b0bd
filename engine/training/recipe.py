"""What decides, besides the code, which model comes out of training: sizes, rates, mixture.

The weight of a skill falls with how well it is answered, see `known_share`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One training run. Skills are named as in `skills.SKILLS`; weights are relative."""

    steps: int
    seed: int = 0
    short_skills: Mapping[str, float]
    """Skills with short prompts and answers, mostly trained on a narrow canvas."""
    long_skills: Mapping[str, float]
    """Skills with long prompts, or answers that span canvases."""
    seeing_skills: Mapping[str, float] = field(default_factory=dict)
    """Skills with pictures."""
    short_examples: int = 32
    """Examples a step, over all processes."""
    long_examples: int = 12
    seeing_examples: int = 8
    long_from_step: int = 0
    """The first steps do without long examples, which cost most and need what the others teach."""
    learning_rate: float = 2e-3
    vision_rate: float = 1.0
    """Of the learning rate, that of the vision tower and projector."""
    final_share: float = 0.02
    """Of the learning rate, left at the last step of the cosine."""
    warmup_steps: int = 100
    weight_decay: float = 0.02
    narrow_canvas: int = 16
    """Canvas of most short examples: the same skill for a third of the work."""
    narrow_share: float = 0.75
    known_share: float = 0.15
    """Of a skill's weight, left when it is always answered right."""
    probe_every: int = 600
    """Steps between measurements of the held-out accuracy."""
    probe_items: int = 12
    """Held-out questions of each skill in such a measurement."""

    @property
    def skills(self) -> list[str]:
        """All of them."""
        return [*self.short_skills, *self.long_skills, *self.seeing_skills]


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
        "compare": 1.0,
        "colour": 1.0,
        "facts": 0.7,
        "json": 1.5,
        "note": 0.3,
        "follow_up": 1.5,
        "think": 2.0,
        "add_many": 0.1,
        "reverse_long": 1.0,
        "add_long": 1.0,
        "sort_long": 1.0,
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
    seeing_skills={
        "see_colour": 1.0,
        "see_shape": 1.0,
        "see_count": 1.0,
        "see_place": 1.0,
        "see_motion": 0.5,
    },
)

SEE = replace(
    BUNDLED,
    steps=1_600,
    long_from_step=0,
    warmup_steps=60,
    short_examples=10,
    long_examples=4,
    seeing_examples=16,
    learning_rate=5e-4,
    vision_rate=4.0,
    probe_every=400,
)
"""Goes on from a model that reads and writes, and lets it see."""

SMOKE = Recipe(
    steps=6,
    short_skills={"reverse": 1.0, "think": 1.0},
    long_skills={"table": 1.0, "tool_call": 1.0},
    seeing_skills={"see_colour": 1.0, "see_motion": 1.0},
    short_examples=4,
    long_examples=2,
    seeing_examples=2,
    warmup_steps=2,
    probe_every=3,
    probe_items=1,
)
"""A minute's run, to see that everything works."""

RECIPES = {"bundled": BUNDLED, "see": SEE, "smoke": SMOKE}
