"""How much work was done for whom, and how evenly while several wanted more.

Counted in intervals. A line (share and priority) is backlogged in one if in each of its passes a
request of the line waits for a place; shorter waits are nobody's injustice. Of what the backlogged
lines of an interval got together, each is entitled to its weight's part.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Set

from palimpsest.engine.lines import PRIORITY_FACTOR, LineKey


class Service:
    """Of one engine, in tokens that ran: prompts, commits and canvases, as the scheduler charges.

    `close` it after the last pass.
    """

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self.course: defaultdict[str, Counter[int]] = defaultdict(Counter)
        """Of each share, work by number of the interval."""
        self.received: Counter[str] = Counter()
        """Of each share, work in intervals in which it and another line were backlogged."""
        self.entitled: defaultdict[str, float] = defaultdict(float)
        """The fair part of it."""
        self._interval = 0
        self._work: Counter[LineKey] = Counter()
        self._backlogged: Set[LineKey] | None = None

    def count(self, end_s: float, work: Mapping[LineKey, int], backlogged: Set[LineKey]) -> None:
        """A pass has ended that did so much work for each line while these had to wait."""
        interval = int(end_s / self.interval_s)
        if interval != self._interval:
            self.close()
            self._interval = interval
        for line, tokens in work.items():
            self._work[line] += tokens
        before = self._backlogged
        self._backlogged = backlogged if before is None else before & backlogged

    def close(self) -> None:
        """Ends the interval under way."""
        for (share, _), tokens in self._work.items():
            self.course[share][self._interval] += tokens
        weights = {line: PRIORITY_FACTOR ** line[1] for line in self._backlogged or ()}
        if len(weights) > 1:
            each = sum(self._work[line] for line in weights) / sum(weights.values())
            for line, weight in weights.items():
                self.received[line[0]] += self._work[line]
                self.entitled[line[0]] += each * weight
        self._work, self._backlogged = Counter(), None

    def parts(self) -> dict[str, float]:
        """Of each share that was ever backlogged beside others, what it got over its fair part."""
        return {
            share: self.received[share] / entitled
            for share, entitled in sorted(self.entitled.items())
            if entitled
        }

    def fairness(self) -> float | None:
        """Jain's index of the parts; None if no two lines were ever backlogged together."""
        return jain(self.parts().values())


def total(services: Iterable[Service]) -> Service:
    """Of several engines together."""
    first, *others = services
    whole = Service(first.interval_s)
    for service in (first, *others):
        for share, course in service.course.items():
            whole.course[share].update(course)
        whole.received.update(service.received)
        for share, entitled in service.entitled.items():
            whole.entitled[share] += entitled
    return whole


def jain(values: Iterable[float]) -> float | None:
    """(sum x)^2 / (n sum x^2): 1 if all are equal, 1 / n if one has everything (Jain 1984)."""
    kept = list(values)
    squares = sum(value * value for value in kept)
    return sum(kept) ** 2 / (len(kept) * squares) if squares else None
