"""Two runs beside each other."""

from __future__ import annotations

import pytest

from palimpsest.evaluation.comparison import Comparison, Score, compare
from palimpsest.evaluation.intervals import (
    Pairs,
    accuracy,
    independent_difference,
    paired_difference,
)


def scores(skill: str, rights: str, *, first_id: int = 0, steps: int = 2) -> list[Score]:
    """One score a letter: y for a right answer, n for a wrong one."""
    return [
        Score(skill=skill, id=str(first_id + n), right=letter == "y", canvas_steps=(steps,))
        for n, letter in enumerate(rights)
    ]


def compared(run: list[Score], base: list[Score]) -> Comparison:
    comparison = compare(run, base)
    assert comparison is not None
    return comparison


def test_recovery_is_the_share_of_the_base_s_accuracy() -> None:
    base = scores("add", "yyyyyyyynn")
    [skill] = compared(scores("add", "yyyyyynnny"), base).skills
    assert skill.recovery == pytest.approx(7 / 8)
    assert skill.difference.value == pytest.approx(-0.1)


def test_items_that_both_runs_have_are_compared_as_pairs() -> None:
    [skill] = compared(scores("add", "yyyn"), scores("add", "yynn")).skills
    assert skill.paired
    assert skill.difference == paired_difference(
        Pairs(both=2, only_first=1, only_second=0, neither=1)
    )


def test_a_longer_base_is_compared_on_the_items_of_the_run() -> None:
    [skill] = compared(scores("add", "yy"), scores("add", "yynnnnnnnn")).skills
    assert (skill.base.items, skill.base.right, skill.recovery) == (2, 2, 1.0)


def test_skills_without_a_common_item_are_compared_as_two_samples() -> None:
    [skill] = compared(scores("add", "yyyn"), scores("add", "yn", first_id=100)).skills
    assert not skill.paired
    assert skill.difference == independent_difference(accuracy(3, 4), accuracy(1, 2))


def test_the_mean_weighs_every_skill_the_same() -> None:
    run = scores("add", "yyyyyyyynn" * 10) + scores("sort", "yn")
    base = scores("add", "y" * 100) + scores("sort", "yn")
    comparison = compared(run, base)
    assert comparison.recovery == pytest.approx((0.8 + 0.5) / (1 + 0.5))
    assert comparison.difference.value == pytest.approx((-0.2 + 0) / 2)


def test_a_skill_that_the_base_can_hardly_do_is_no_more_than_its_points() -> None:
    # of 100 questions two less, of those that three were right of
    run = scores("add", "y" * 100) + scores("guess", "y" + "n" * 99)
    base = scores("add", "y" * 100) + scores("guess", "yyy" + "n" * 97)
    comparison = compared(run, base)
    assert comparison.recovery == pytest.approx((1 + 0.01) / (1 + 0.03))
    mean_of_base = (1 + 0.03) / 2
    assert comparison.recovery == pytest.approx(1 + comparison.difference.value / mean_of_base)


def test_a_skill_the_base_never_got_right_has_no_recovery() -> None:
    run = scores("add", "yn") + scores("sort", "yy")
    comparison = compared(run, scores("add", "nn") + scores("sort", "yn"))
    assert [skill.recovery for skill in comparison.skills] == [None, 2.0]
    assert compared(scores("add", "y"), scores("add", "n")).recovery is None


def test_skills_of_one_run_only_are_named() -> None:
    run = scores("add", "y") + scores("sort", "y")
    comparison = compared(run, scores("add", "y") + scores("count", "y"))
    assert comparison.only_in_run == ("sort",)
    assert comparison.only_in_base == ("count",)
    assert compare(run, scores("count", "y")) is None


def test_steps_per_canvas_are_told_of_both_sides() -> None:
    [skill] = compared(scores("add", "yy", steps=3), scores("add", "yy", steps=2)).skills
    assert (skill.run.steps_per_canvas, skill.base.steps_per_canvas) == (3, 2)
    assert dict(skill.run.steps_histogram) == {3: 2}
