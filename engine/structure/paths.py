"""The most probable way through an automaton, when each position has its own probabilities.

After DINGO (Suresh et al. 2025, arXiv 2505.23061): a dynamic program over positions and states,
with the positions of a canvas independent of each other, as the network gives them. It goes from
position to position, over the ways of those tokens alone that the position may take, so its memory
does not grow with their product.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
NO_WAY = -np.inf


def best_path(
    scores: Scores, leads: NDArray[np.int32], open_states: NDArray[np.bool_], *, start: int
) -> list[int]:
    """The class of tokens to take at each of C positions, so that the sum of `scores` [C, classes]
    is the greatest, the first of equals; NO_WAY where a position takes none of a class.

    `leads` [classes, S] is the state that a class leads to from each, S for nowhere, and
    `open_states` [C + 1, S] those that a path may be in before each position and at the end.
    Raises ValueError if there is no path.
    """
    offered = [np.flatnonzero(own > NO_WAY) for own in scores]
    reached = _reached(scores, leads, open_states, offered, start)
    state = int(reached[-1].argmax())
    if reached[-1, state] == NO_WAY:
        raise ValueError("no path leads to its end")
    path = []
    for place in reversed(range(len(scores))):
        classes = offered[place]
        row, source = np.nonzero(leads[classes] == state)
        best = (reached[place, source] + scores[place, classes[row]]).argmax()
        path.append(int(classes[row[best]]))
        state = int(source[best])
    return path[::-1]


def _reached(
    scores: Scores,
    leads: NDArray[np.int32],
    open_states: NDArray[np.bool_],
    offered: list[NDArray[np.intp]],
    start: int,
) -> Scores:
    """[C + 1, S] the greatest sum with which a path can be in each state before each position."""
    # and a column for nowhere
    reached = np.full((len(scores) + 1, leads.shape[1] + 1), NO_WAY)
    reached[0, start] = 0.0 if open_states[0, start] else NO_WAY
    for place, classes in enumerate(offered):
        sources = np.flatnonzero(reached[place] > NO_WAY)
        ways = reached[place, sources] + scores[place, classes, None]
        following = reached[place + 1]
        np.maximum.at(following, leads[np.ix_(classes, sources)].ravel(), ways.ravel())
        following[-1] = NO_WAY
        following[:-1][~open_states[place + 1]] = NO_WAY
    return reached[:, :-1]
