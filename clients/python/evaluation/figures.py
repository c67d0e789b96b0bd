"""What a run, or one skill of it, comes to. Pure counting over outcomes.

A question whose request failed counts as one that was not answered rightly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from palimpsest.evaluation import intervals
from palimpsest.evaluation.intervals import Estimate
from palimpsest.evaluation.matchers import Answer
from palimpsest.evaluation.runner import Outcome

ALL = "all"
"""Stands for the name of a skill in the figures over all skills."""
WRONG_EXAMPLES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Counts, and what follows from them. What would be a division by zero is None."""

    skill: str
    items: int
    right: int
    errors: int
    """Requests that failed."""
    canvases: int
    denoising_steps: int
    steps_histogram: Mapping[int, int]
    """Number of canvases by the denoising steps they took, fewest steps first."""
    output_tokens: int
    """Tokens of the answers, thoughts and tool calls included."""
    canvas_tokens: int
    """Tokens of their canvases, padding included."""
    wall_s: float
    """From the first question sent to the last answer. Skills follow one another and overlap a
    little, so their times do not add up to the run's."""
    request_output_tokens_per_second: float | None
    """Median over requests, time in the server's queue included."""
    request_effective_tokens_per_second: float | None
    wrong: tuple[Outcome, ...]
    """The first few answers that were not right, failed requests excepted."""

    @property
    def accuracy(self) -> Estimate:
        """Share of right answers, 0 to 1, with its interval."""
        return intervals.accuracy(self.right, self.items)

    @property
    def steps_per_canvas(self) -> float | None:
        """Denoising steps."""
        return _ratio(self.denoising_steps, self.canvases)

    @property
    def tokens_per_forward(self) -> float | None:
        """Answer tokens per denoising step."""
        return _ratio(self.output_tokens, self.denoising_steps)

    @property
    def output_tokens_per_second(self) -> float | None:
        """Answer tokens of all requests, per second of wall time."""
        return _ratio(self.output_tokens, self.wall_s)

    @property
    def effective_tokens_per_second(self) -> float | None:
        """Canvas tokens of all requests, per second of wall time."""
        return _ratio(self.canvas_tokens, self.wall_s)


def by_skill(outcomes: Sequence[Outcome]) -> list[Figures]:
    """The figures of each skill, in the order of their first outcomes."""
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.item.skill, []).append(outcome)
    return [figures(skill, group) for skill, group in groups.items()]


def figures(skill: str, outcomes: Sequence[Outcome]) -> Figures:
    """The figures of outcomes, of which there is at least one."""
    answers = [outcome.answer for outcome in outcomes if outcome.answer is not None]
    steps = [count for answer in answers for count in answer.canvas_steps]
    wrong = [one for one in outcomes if one.answer is not None and not one.right]
    return Figures(
        skill=skill,
        items=len(outcomes),
        right=sum(outcome.right for outcome in outcomes),
        errors=len(outcomes) - len(answers),
        canvases=len(steps),
        denoising_steps=sum(steps),
        steps_histogram=dict(sorted(Counter(steps).items())),
        output_tokens=sum(answer.output_tokens for answer in answers),
        canvas_tokens=sum(_canvas_tokens(answer) for answer in answers),
        wall_s=max(one.ended_s for one in outcomes) - min(one.started_s for one in outcomes),
        request_output_tokens_per_second=_median(
            [answer.output_tokens_per_second for answer in answers]
        ),
        request_effective_tokens_per_second=_median(
            [answer.effective_tokens_per_second for answer in answers]
        ),
        wrong=tuple(wrong[:WRONG_EXAMPLES]),
    )


def _canvas_tokens(answer: Answer) -> int:
    return len(answer.canvas_steps) * answer.canvas_length


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def _ratio(one: float, other: float) -> float | None:
    return one / other if other else None
