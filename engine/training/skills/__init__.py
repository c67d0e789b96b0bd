"""The skills of the bundled model, by name: each draws questions with their only right answer."""

from __future__ import annotations

from palimpsest.engine.training.items import Task
from palimpsest.engine.training.skills import (
    arithmetic,
    chats,
    facts,
    lists,
    reading,
    records,
    seeing,
    tools,
    words,
)

SKILLS: dict[str, Task] = {
    "reverse": words.reverse,
    "reverse_long": words.reverse_long,
    "sort": words.sort,
    "count": words.count,
    "mark": words.mark,
    "upper": words.upper,
    "repeat": words.repeat,
    "add": arithmetic.add,
    "add_hundreds": arithmetic.add_hundreds,
    "compare": arithmetic.compare,
    "colour": reading.colour,
    "count_up": lists.count_up,
    "count_down": lists.count_down,
    "table": lists.table,
    "number_words": lists.number_words,
    "function": lists.function,
    "facts": facts.fact,
    "json": records.record,
    "note": chats.note,
    "follow_up": chats.follow_up,
    "tool_call": tools.tool_call,
    "tool_answer": tools.tool_answer,
    "think": arithmetic.add_many_thinking,
    "add_many": arithmetic.add_many,
    "add_long": arithmetic.add_long,
    "sort_long": words.sort_long,
    "see_map": seeing.see_map,
    "see_colour": seeing.see_colour,
    "see_shape": seeing.see_shape,
    "see_count": seeing.see_count,
    "see_place": seeing.see_place,
    "see_motion": seeing.see_motion,
}

SEEING = frozenset(name for name in SKILLS if name.startswith("see_"))
"""Those that ask about pictures."""
HARD = frozenset({"add_long", "sort_long"})
"""Those that are meant to fail at times, so that a loss of quality can be seen at all."""
