"""Who is admitted next: waiting requests in lines, one per share and priority, served in fair
proportion.

Each line has a clock that runs by the work done for it, over its weight; the line furthest behind
comes first (start-time fair queueing, Goyal, Vin, Cheng 1996). A line that had nobody waiting
begins where the last one taken stood, so nobody saves up time. Clocks of lines that only wait stand
still, so each is served in the end, whatever comes in elsewhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")

LineKey = tuple[str, int]
"""Who is charged, and the priority."""
PRIORITY_FACTOR = 4.0
"""Share of work of a priority against the next lower one."""


@dataclass(slots=True)
class _Line(Generic[T]):
    weight: float
    clock: float
    waiting: deque[T] = field(default_factory=deque)
    running: int = 0

    @property
    def idle(self) -> bool:
        return not self.waiting and not self.running


class FairLines(Generic[T]):
    """The waiting ones of all lines, and how much was done for each line."""

    def __init__(self) -> None:
        self._lines: dict[LineKey, _Line[T]] = {}
        self._now = 0.0
        """The latest clock of a line that one was taken from."""

    def __len__(self) -> int:
        """How many wait."""
        return sum(len(line.waiting) for line in self._lines.values())

    def __iter__(self) -> Iterator[T]:
        return (one for line in self._lines.values() for one in line.waiting)

    def add(self, key: LineKey, one: T) -> None:
        """Puts a new one at the end of its line."""
        line = self._lines.setdefault(key, _Line(PRIORITY_FACTOR ** key[1], self._now))
        if not line.waiting:
            line.clock = max(line.clock, self._now)
        line.waiting.append(one)

    def next(self) -> tuple[LineKey, T] | None:
        """Whose turn it is, without taking it; of equals the line that runs fewest."""
        waiting = [key for key, line in self._lines.items() if line.waiting]
        if not waiting:
            return None
        key = min(waiting, key=lambda key: (self._lines[key].clock, self._lines[key].running))
        return key, self._lines[key].waiting[0]

    def take(self, key: LineKey) -> T:
        """Removes the first of a line to run it."""
        line = self._lines[key]
        self._now = max(self._now, line.clock)
        line.running += 1
        return line.waiting.popleft()

    def put_back(self, key: LineKey, one: T) -> None:
        """One that ran comes first in its line again."""
        self._lines[key].running -= 1
        self._lines[key].waiting.appendleft(one)

    def requeue(self, key: LineKey, one: T) -> None:
        """One that ran goes to the end of its line."""
        self._lines[key].running -= 1
        self._lines[key].waiting.append(one)

    def charge(self, key: LineKey, work: float) -> None:
        """Work was done for one that runs."""
        line = self._lines[key]
        line.clock += work / line.weight

    def end(self, key: LineKey) -> None:
        """One that ran is done."""
        self._lines[key].running -= 1
        self._forget(key)

    def drop(self, key: LineKey, one: T) -> None:
        """One that waited is gone."""
        self._lines[key].waiting.remove(one)
        self._forget(key)

    def _forget(self, key: LineKey) -> None:
        if self._lines[key].idle:
            del self._lines[key]
