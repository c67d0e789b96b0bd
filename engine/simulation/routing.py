"""Which of many engines a request goes to. A policy sees prompts and counts, no engine."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import TypeAlias

from palimpsest.engine.pages import PAGE_TOKENS, chain_keys

OVERLOADED = 1.25
"""Times the mean of unfinished requests from which on a prefix is no reason to go somewhere
(consistent hashing with bounded loads, Mirrokni, Thorup, Zadimoghaddam 2018)."""
FEW = 4
"""Unfinished requests that are no reason to go elsewhere, as they share a pass at little cost."""


class Unfinished:
    """How many requests each engine has that it has not finished."""

    def __init__(self, engines: int) -> None:
        self.counts = [0] * engines
        self.total = 0
        self.sent = 0
        """Requests sent anywhere since the start."""
        # counts that were true once; the first that still is belongs to the least loaded
        self._heap = [(0, engine) for engine in range(engines)]

    def send(self, engine: int) -> None:
        """A request goes to an engine."""
        self.sent += 1
        self._change(engine, 1)

    def end(self, engine: int) -> None:
        """An engine has finished one."""
        self._change(engine, -1)

    def least(self) -> int:
        """The engine with the fewest, the first of those."""
        while self._heap[0][0] != self.counts[self._heap[0][1]]:
            heapq.heappop(self._heap)
        return self._heap[0][1]

    def _change(self, engine: int, by: int) -> None:
        self.counts[engine] += by
        self.total += by
        heapq.heappush(self._heap, (self.counts[engine], engine))


Policy: TypeAlias = Callable[[Sequence[int], Unfinished], int]
"""The engine for a prompt."""


def round_robin(prompt: Sequence[int], unfinished: Unfinished) -> int:
    """One after another."""
    return unfinished.sent % len(unfinished.counts)


def least_loaded(prompt: Sequence[int], unfinished: Unfinished) -> int:
    """The one with the fewest unfinished requests."""
    return unfinished.least()


def prefix_affinity(prompt: Sequence[int], unfinished: Unfinished) -> int:
    """The one that the first page stands for, unless that is overloaded."""
    keys = chain_keys(prompt[:PAGE_TOKENS])
    if not keys:
        return unfinished.least()
    engine = int.from_bytes(keys[0], "little") % len(unfinished.counts)
    most = max(FEW, OVERLOADED * unfinished.total / len(unfinished.counts))
    return engine if unfinished.counts[engine] < most else unfinished.least()


POLICIES: dict[str, Policy] = {
    "round-robin": round_robin,
    "least-loaded": least_loaded,
    "prefix-affinity": prefix_affinity,
}
