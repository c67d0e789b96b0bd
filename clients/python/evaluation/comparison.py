"""Two runs side by side: how much of the other's accuracy this one keeps.

Recovery is accuracy divided by the base's accuracy. A skill is compared on the items that both runs
have, pair by pair; if they share none, as two samples of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from palimpsest.evaluation import intervals
from palimpsest.evaluation.intervals import Estimate, Pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How one item went, as far as two runs are compared by it."""

    skill: str
    id: str
    right: bool
    canvas_steps: tuple[int, ...]
    """Denoising steps of each canvas; empty where the request failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What one of the two runs did on what is compared."""

    items: int
    right: int
    steps_histogram: Mapping[int, int]
    """Number of canvases by the denoising steps they took, fewest steps first."""

    @property
    def accuracy(self) -> Estimate:
        """Share of right answers, with its interval."""
        return intervals.accuracy(self.right, self.items)

    @property
    def steps_per_canvas(self) -> float | None:
        """Denoising steps; None without canvases."""
        canvases = sum(self.steps_histogram.values())
        steps = sum(step * count for step, count in self.steps_histogram.items())
        return steps / canvases if canvases else None


@dataclass(frozen=True, slots=True, kw_only=True)
class SkillComparison:
    """One skill in both runs."""

    skill: str
    run: Side
    base: Side
    paired: bool
    difference: Estimate
    """Accuracy minus the base's, with its interval; -1 to 1."""

    @property
    def recovery(self) -> float | None:
        """1 is all of the base's accuracy; None where the base was never right."""
        return self.run.accuracy.value / self.base.accuracy.value if self.base.right else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All skills that both runs have; at least one."""

    skills: tuple[SkillComparison, ...]
    only_in_run: tuple[str, ...]
    """Skills that the base lacks."""
    only_in_base: tuple[str, ...]

    @property
    def recovery(self) -> float | None:
        """Of the mean accuracy, in which every skill weighs the same; not the mean of recoveries,
        in which one that is right once in a hundred would. None where the base was never right.
        """
        base = sum(skill.base.accuracy.value for skill in self.skills)
        return sum(skill.run.accuracy.value for skill in self.skills) / base if base else None

    @property
    def difference(self) -> Estimate:
        """Mean of the skills' differences."""
        return intervals.mean([skill.difference for skill in self.skills])


def compare(run: Sequence[Score], base: Sequence[Score]) -> Comparison | None:
    """What became of the base's accuracy in `run`; None if they have no skill in common."""
    ours, theirs = _by_skill(run), _by_skill(base)
    shared = [skill for skill in ours if skill in theirs]
    if not shared:
        return None
    return Comparison(
        skills=tuple(_skill(skill, ours[skill], theirs[skill]) for skill in shared),
        only_in_run=tuple(skill for skill in ours if skill not in theirs),
        only_in_base=tuple(skill for skill in theirs if skill not in ours),
    )


def _skill(skill: str, ours: Mapping[str, Score], theirs: Mapping[str, Score]) -> SkillComparison:
    both = [id for id in ours if id in theirs]
    if not both:
        run, base = _side(list(ours.values())), _side(list(theirs.values()))
        difference = intervals.independent_difference(run.accuracy, base.accuracy)
    else:
        run, base = _side([ours[id] for id in both]), _side([theirs[id] for id in both])
        difference = intervals.paired_difference(
            _pairs([(ours[id].right, theirs[id].right) for id in both])
        )
    return SkillComparison(
        skill=skill, run=run, base=base, paired=bool(both), difference=difference
    )


def _by_skill(scores: Sequence[Score]) -> dict[str, dict[str, Score]]:
    skills: dict[str, dict[str, Score]] = {}
    for score in scores:
        skills.setdefault(score.skill, {})[score.id] = score
    return skills


def _side(scores: Sequence[Score]) -> Side:
    steps = Counter(step for score in scores for step in score.canvas_steps)
    return Side(
        items=len(scores),
        right=sum(score.right for score in scores),
        steps_histogram=dict(sorted(steps.items())),
    )


def _pairs(rights: Sequence[tuple[bool, bool]]) -> Pairs:
    return Pairs(
        both=rights.count((True, True)),
        only_first=rights.count((True, False)),
        only_second=rights.count((False, True)),
        neither=rights.count((False, False)),
    )
