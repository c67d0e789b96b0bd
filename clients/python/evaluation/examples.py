"""Answers that were not right, each in a line. Knows how to cut, not where it is shown."""

from __future__ import annotations

import itertools

from palimpsest.canvas import printable
from palimpsest.evaluation.lines import SHORT, shown
from palimpsest.evaluation.records import Run
from palimpsest.evaluation.runner import Outcome

SAME_BEFORE = 20
"""Characters shown before the place where a long answer goes wrong."""


def lines(run: Run, most: int | None) -> list[str]:
    """The first wrong answers of each skill, `most` at most if given, and its first failure."""
    shown_lines = []
    for skill in run.skills:
        shown_lines += [_wrong(outcome) for outcome in skill.wrong[:most]]
        failed = [one for one in run.outcomes if one.error and one.item.skill == skill.skill]
        if failed:
            first = failed[0]
            what = printable(f"{shown(first.item.question)}: {first.error}")
            shown_lines.append(f"{skill.skill}, failed: {what}")
    return shown_lines


def _wrong(outcome: Outcome) -> str:
    item, answer = outcome.item, outcome.answer
    assert answer is not None
    said = [{"name": call.name, "arguments": dict(call.arguments)} for call in answer.tool_calls]
    given, expected = _telling(said or answer.text, item.expected)
    what = f"{shown(item.question)} → {given}, expected {expected}"
    return f"{item.skill}, wrong: {printable(what)}"


def _telling(given: object, expected: object) -> tuple[str, str]:
    """Both in short; long texts from shortly before the place where they part."""
    if isinstance(given, str) and isinstance(expected, str):
        alike = itertools.takewhile(
            lambda pair: pair[0] == pair[1], zip(given, expected, strict=False)
        )
        start = sum(1 for _ in alike) - SAME_BEFORE
        if start > 0 and max(len(given), len(expected)) > SHORT:
            return f"…{shown(given[start:])}", f"…{shown(expected[start:])}"
    return shown(given), shown(expected)
