"""The most probable way through an automaton, when each position has its own probabilities.

After DINGO (Suresh et al. 2025, arXiv 2505.23061): a dynamic program over positions and states,
with the positions of a canvas independent of each other, as the network gives them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from palimpsest.engine.structure.transitions import Edges

Scores = NDArray[np.float64]


def best_path(scores: Scores, edges: Edges, *, start: int, last: NDArray[np.bool_]) -> list[int]:
    """The way to take at each of C positions, an index into `edges`, so that the sum of `scores`
    [C, edges] is the greatest, the first of equals; -inf is no way. `last` [states] says where the
    path may end. Raises ValueError if there is none.
    """
    reached = np.full((len(scores) + 1, len(last)), -np.inf)
    reached[0, start] = 0.0
    for place, own in enumerate(scores):
        ways = reached[place, edges.source] + own
        reached[place + 1, edges.targets] = np.maximum.reduceat(ways, edges.begins)
    final = np.where(last, reached[-1], -np.inf)
    state = int(final.argmax())
    if final[state] == -np.inf:
        raise ValueError("no path leads to its end")
    ends = np.append(edges.begins[1:], len(edges.source))
    path = []
    for place in reversed(range(len(scores))):
        group = int(np.searchsorted(edges.targets, state))
        ways = slice(edges.begins[group], ends[group])
        values = reached[place, edges.source[ways]] + scores[place, ways]
        path.append(int(edges.begins[group] + values.argmax()))
        state = int(edges.source[path[-1]])
    return path[::-1]
