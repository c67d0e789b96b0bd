"""Automata with choice, put together piece by piece, and the deterministic ones they come to.

Thompson's construction and the construction of subsets, over bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from palimpsest.engine.structure.automaton import Automaton, PatternError, trimmed
from palimpsest.engine.structure.characters import Range, byte_ranges

MAX_NODES = 65_536
MAX_STATES = 4_096
MAX_WORK = 10_000_000
"""Steps of the construction of subsets: some seconds."""


class Nfa:
    """A growing automaton. Pieces are added between two nodes that are there already."""

    def __init__(self) -> None:
        self._free: list[list[int]] = []
        """Nodes that each node leads to without a byte."""
        self._ways: list[list[tuple[int, int, int]]] = []
        """First and last byte and where they lead, of each node."""
        self.start, self.end = self.node(), self.node()

    def node(self) -> int:
        """A new one. Raises PatternError if they are too many."""
        if len(self._free) >= MAX_NODES:
            raise PatternError(f"it needs more than {MAX_NODES} nodes")
        self._free.append([])
        self._ways.append([])
        return len(self._free) - 1

    def skip(self, source: int, target: int) -> None:
        """`target` may follow `source` without text."""
        self._free[source].append(target)

    def characters(self, source: int, target: int, ranges: Iterable[Range]) -> None:
        """One character of `ranges` leads from `source` to `target`."""
        # characters that end in the same ways share their last bytes
        ends: dict[tuple[Range, ...], int] = {(): target}
        for first, last in ranges:
            for sequence in byte_ranges(first, last):
                self._bytes(source, tuple(sequence), ends)

    def _bytes(
        self, source: int, sequence: tuple[Range, ...], ends: dict[tuple[Range, ...], int]
    ) -> None:
        (low, high), rest = sequence[0], sequence[1:]
        known = rest in ends
        if not known:
            ends[rest] = self.node()
        self._ways[source].append((low, high, ends[rest]))
        if not known:
            self._bytes(ends[rest], rest, ends)

    def automaton(self) -> Automaton:
        """Raises PatternError if it is empty or too large."""
        return _Subsets(self._free, self._ways, self.start, self.end).automaton()


class _Subsets:
    """Sets of nodes that a text can lead to; each set becomes a state."""

    def __init__(
        self,
        free: Sequence[Sequence[int]],
        ways: Sequence[Sequence[tuple[int, int, int]]],
        start: int,
        end: int,
    ) -> None:
        self._free, self._ways, self._end = free, ways, end
        edges = {edge for way in ways for low, high, _ in way for edge in (low, high + 1)}
        self._edges = sorted(edges | {0, 256})
        """Bytes between two of these always lead to the same nodes."""
        self._place = {edge: i for i, edge in enumerate(self._edges)}
        self._numbers: dict[frozenset[int], int] = {}
        self._waiting: list[frozenset[int]] = []
        self._work = 0
        self._number(self._closure({start}))

    def automaton(self) -> Automaton:
        rows, accepting = [], []
        while len(rows) < len(self._waiting):
            nodes = self._waiting[len(rows)]
            rows.append([self._number(self._closure(reached)) for reached in self._reached(nodes)])
            accepting.append(self._end in nodes)
        widths = np.diff(self._edges)
        table = np.repeat(np.array(rows, np.int32), widths, axis=1)
        table[table < 0] = len(rows)
        return trimmed(table, np.array(accepting), 0)

    def _reached(self, nodes: Iterable[int]) -> list[set[int]]:
        """Of each stretch of bytes, the nodes it leads to."""
        reached: list[set[int]] = [set() for _ in self._edges[1:]]
        for node in nodes:
            for low, high, target in self._ways[node]:
                for place in range(self._place[low], self._place[high + 1]):
                    reached[place].add(target)
                    self._work += 1
        return reached

    def _closure(self, nodes: set[int]) -> frozenset[int]:
        """With all that follow without text."""
        found, front = set(nodes), list(nodes)
        while front:
            for target in self._free[front.pop()]:
                self._work += 1
                if target not in found:
                    found.add(target)
                    front.append(target)
        return frozenset(found)

    def _number(self, nodes: frozenset[int]) -> int:
        """Of the state; -1 for no nodes."""
        if not nodes:
            return -1
        if nodes not in self._numbers:
            if len(self._waiting) >= MAX_STATES or self._work > MAX_WORK:
                raise PatternError(f"it needs more than {MAX_STATES} states or {MAX_WORK} steps")
            self._numbers[nodes] = len(self._waiting)
            self._waiting.append(nodes)
        return self._numbers[nodes]
