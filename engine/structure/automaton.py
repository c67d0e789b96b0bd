"""Deterministic automata over bytes: which texts are of a form."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

States = NDArray[np.int32]


class PatternError(ValueError):
    """What is wrong with a pattern, in one line."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Automaton:
    """Deterministic, with S states; every one of them can reach an accepting one."""

    transitions: States
    """[S + 1, 256] the state after each byte; S, which leads nowhere else, where the text cannot go
    on so."""
    accepting: NDArray[np.bool_]
    """[S] whether the text may end here."""
    start: int

    @property
    def size(self) -> int:
        """S, which also stands for no state."""
        return len(self.accepting)


def _adjacency(transitions: States) -> NDArray[np.bool_]:
    """[S, S] whether any byte leads from the first state to the second."""
    size = len(transitions)
    leads = np.zeros((size, size + 1), bool)
    leads[np.arange(size)[:, None], transitions] = True
    return leads[:, :size]


def trimmed(transitions: States, accepting: NDArray[np.bool_], start: int) -> Automaton:
    """The automaton of a table [S, 256], S for nowhere, without the states that never come to an
    end. Raises PatternError if none is left.
    """
    size = len(accepting)
    before: dict[int, set[int]] = defaultdict(set)
    for source, target in np.argwhere(_adjacency(transitions)).tolist():
        before[target].add(source)
    useful = np.append(accepting, False)
    front = set(np.flatnonzero(accepting).tolist())
    while front:
        front = {source for target in front for source in before[target] if not useful[source]}
        useful[list(front)] = True
    if not useful[start]:
        raise PatternError("no text matches it")
    number = np.where(useful, np.cumsum(useful) - 1, useful.sum()).astype(np.int32)
    kept = useful[:size]
    nowhere = np.full((1, 256), useful.sum(), np.int32)
    return Automaton(
        transitions=np.concatenate([number[transitions][kept], nowhere]),
        accepting=accepting[kept],
        start=int(number[start]),
    )
