"""What a run comes to, in numbers: speed, how long whom waited, and how evenly."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from palimpsest.engine.simulation.replica import Visit
from palimpsest.engine.simulation.run import Run


@dataclass(frozen=True, slots=True)
class Spread:
    """Seconds that half, nine in ten and 99 in a hundred of the requests do not exceed."""

    p50: float
    p90: float
    p99: float


@dataclass(frozen=True, slots=True, kw_only=True)
class KindFigures:
    """The requests of one class. All times are from the arrival of a request."""

    name: str
    requests: int
    queue: Spread
    """Until its first pass begins."""
    first_draft: Spread
    """To the end of the pass with its first canvas step."""
    first_commit: Spread
    """To the end of its first canvas, whose tokens are then final."""
    total: Spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """A whole run."""

    rate: float
    """Requests a second that arrived."""
    requests: int
    seconds: float
    """From the first arrival to the last end."""
    output_tokens_per_second: float
    """Of the answers."""
    effective_tokens_per_second: float
    """Of their canvases, whole."""
    utilisation: float
    """Part of the time in which an engine was in a pass, the mean of all engines."""
    passes: int
    canvases_per_pass: float
    prefix_hits: float
    """Part of the prompts' tokens that was found in the cache."""
    preemptions: int
    rows_again: int
    """Tokens read once more, as their pages had to be given back."""
    fairness: float | None
    """Jain's index over the shares, of what each got over its fair part, in the intervals in which
    several were backlogged all the time; None if there were none."""
    parts: dict[str, float]
    """What that index is of."""
    kinds: list[KindFigures]

    def kind(self, name: str) -> KindFigures:
        """Those of one class."""
        return next(kind for kind in self.kinds if kind.name == name)


def figures(run: Run) -> Figures:
    """All figures of a run."""
    plan, visits = run.plan, run.visits
    works = [replica.work for replica in run.replicas]
    passes = sum(work.passes for work in works)
    prompts = sum(visit.request.prompt_tokens for visit in visits)
    canvas = plan.machine.canvas_tokens
    return Figures(
        rate=plan.rate,
        requests=len(visits),
        seconds=run.seconds,
        output_tokens_per_second=sum(v.request.output_tokens for v in visits) / run.seconds,
        effective_tokens_per_second=sum(canvas * v.canvas for v in visits) / run.seconds,
        utilisation=sum(work.busy_s for work in works) / (run.seconds * plan.replicas),
        passes=passes,
        canvases_per_pass=sum(work.canvas_steps for work in works) / passes,
        prefix_hits=sum(visit.cached for visit in visits) / prompts,
        preemptions=sum(replica.scheduler.preempted for replica in run.replicas),
        rows_again=sum(work.rows_again for work in works),
        fairness=run.service.fairness(),
        parts=run.service.parts(),
        kinds=_kinds(run),
    )


def record(one: Figures) -> dict[str, Any]:
    """As JSON."""
    return dataclasses.asdict(one)


def spread(values: Iterable[float]) -> Spread:
    """Percentiles; between two values where they fall between."""
    ordered = sorted(values)
    return Spread(*(percentile(ordered, part) for part in (0.5, 0.9, 0.99)))


def percentile(ordered: Sequence[float], part: float) -> float:
    """The value below which so large a part of the ordered ones lies."""
    place = part * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _kinds(run: Run) -> list[KindFigures]:
    by_kind: dict[str, list[Visit]] = {kind.name: [] for kind in run.plan.load.kinds}
    for visit in run.visits:
        by_kind[visit.request.kind].append(visit)
    return [_kind(name, visits) for name, visits in by_kind.items() if visits]


def _kind(name: str, visits: Sequence[Visit]) -> KindFigures:
    return KindFigures(
        name=name,
        requests=len(visits),
        queue=spread(_since(visit, visit.started_s) for visit in visits),
        first_draft=spread(_since(visit, visit.draft_s) for visit in visits),
        first_commit=spread(_since(visit, visit.commit_s) for visit in visits),
        total=spread(_since(visit, visit.end_s) for visit in visits),
    )


def _since(visit: Visit, time_s: float | None) -> float:
    assert time_s is not None, "the visit is over"
    return time_s - visit.request.arrival_s
