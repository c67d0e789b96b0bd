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
    skills: Mapping[str, float]
    spanning: tuple[str, ...] = ()
    """Skills whose answers may fill canvases or span them: theirs are always of the model's length,
    and where they end counts fully."""
    joins: Mapping[str, int] = field(default_factory=dict)
    """The step that a skill joins at, of those that cost much or need what others teach; until then
    steps are cheap and about little."""
    examples: int = 52
    """Of a step, over all processes."""
    learning_rate: float = 2e-3
    vision_rate: float = 1.0
    """Of the learning rate, that of the vision tower and projector."""
    final_share: float = 0.02
    """Of the learning rate, left at the last step of the cosine."""
    warmup_steps: int = 100
    weight_decay: float = 0.02
    narrow_canvas: int = 16
    """Canvas of most examples with short answers: the same skill for a third of the work."""
    narrow_share: float = 0.8
    known_share: float = 0.15
    """Of a skill's weight, left when it is always answered right."""
    probe_every: int = 500
    """Steps between measurements of the held-out accuracy."""
    probe_items: int = 12
    """Held-out questions of each skill in such a measurement."""


BUNDLED = Recipe(
    steps=12_000,
    skills={
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
        "count_up": 1.5,
        "count_down": 1.5,
        "table": 1.5,
        "number_words": 1.0,
        "function": 1.0,
        "tool_call": 1.5,
        "tool_answer": 0.8,
        "see_map": 2.0,
        "see_colour": 1.0,
        "see_shape": 1.0,
        "see_count": 1.0,
        "see_place": 1.0,
        "see_motion": 0.5,
    },
    spanning=(
        "think",
        "count_up",
        "count_down",
        "table",
        "number_words",
        "function",
        "tool_call",
        "tool_answer",
    ),
    joins={
        "follow_up": 1_000,
        "colour": 1_000,
        "facts": 1_000,
        "json": 1_000,
        "reverse_long": 1_000,
        "add_hundreds": 1_000,
        "see_map": 1_000,
        "think": 2_500,
        "add_many": 2_500,
        "sort_long": 2_500,
        "see_colour": 2_500,
        "see_shape": 2_500,
        "see_count": 2_500,
        "see_place": 2_500,
        "add_long": 4_000,
        "count_up": 4_000,
        "count_down": 4_000,
        "table": 4_000,
        "number_words": 4_000,
        "function": 4_000,
        "tool_call": 4_000,
        "tool_answer": 4_000,
        "see_motion": 4_000,
    },
)

MORE = replace(
    BUNDLED,
    steps=700,
    joins={},
    learning_rate=4e-4,
    known_share=0.3,
    probe_every=350,
    probe_items=16,
    skills={
        **BUNDLED.skills,
        "think": 6.0,
        "number_words": 6.0,
        "count": 2.0,
        "count_up": 2.0,
        "count_down": 2.0,
        "table": 2.0,
        "function": 2.5,
        "colour": 3.0,
        "see_count": 2.5,
    },
)
"""A round more, of all skills at once, on weights that know some of them (`--start`). What is known
is kept up, as weights soon forget it at a higher rate."""

SMOKE = Recipe(
    steps=6,
    skills=dict.fromkeys(
        ("reverse", "think", "table", "tool_call", "see_colour", "see_motion"), 1.0
    ),
    spanning=BUNDLED.spanning,
    examples=8,
    warmup_steps=2,
    probe_every=6,
    probe_items=1,
)
"""A minute's run, to see that everything works."""

RECIPES = {"bundled": BUNDLED, "more": MORE, "smoke": SMOKE}
