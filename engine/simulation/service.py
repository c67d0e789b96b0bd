"""How much work was done for whom, and how evenly while several wanted more.

A line (share and priority) is backlogged in a pass if a request of it still waits when the pass
begins. Of what the backlogged lines of a pass got together, each is entitled to its weight's part.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from palimpsest.engine.lines import PRIORITY_FACTOR, LineKey


class Service:
    """Tokens that ran, prompts, commits and canvases alike, as the scheduler charges them."""

    def __init__(self, bucket_s: float) -> None:
        self.bucket_s = bucket_s
        """Width of the intervals that the course over time is kept in."""
        self.buckets: dict[str, defaultdict[int, float]] = {}
        """Of each share, work by number of interval."""
        self._received: defaultdict[str, float] = defaultdict(float)
        self._entitled: defaultdict[str, float] = defaultdict(float)

    def count(
        self, end_s: float, work: Mapping[LineKey, int], backlogged: Collection[LineKey]
    ) -> None:
        """A pass has ended that did so much work for each line."""
        bucket = int(end_s / self.bucket_s)
        for (share, _), tokens in work.items():
            if share not in self.buckets:
                self.buckets[share] = defaultdict(float)
            self.buckets[share][bucket] += tokens
        if len(backlogged) < 2:
            return
        weights = {line: PRIORITY_FACTOR ** line[1] for line in backlogged}
        each = sum(work.get(line, 0) for line in backlogged) / sum(weights.values())
        for line, weight in weights.items():
            self._received[line[0]] += work.get(line, 0)
            self._entitled[line[0]] += each * weight

    @property
    def parts(self) -> dict[str, float]:
        """Of each share, what it got while it and others were backlogged over its fair part."""
        return {
            share: self._received[share] / entitled
            for share, entitled in self._entitled.items()
            if entitled
        }

    def fairness(self) -> float | None:
        """Jain's index of the parts; None if no two were ever backlogged together."""
        return jain(self.parts.values())


def jain(values: Iterable[float]) -> float | None:
    """(sum x)^2 / (n sum x^2): 1 if all are equal, 1 / n if one has everything (Jain 1984)."""
    kept = list(values)
    squares = sum(value * value for value in kept)
    return sum(kept) ** 2 / (len(kept) * squares) if squares else None
