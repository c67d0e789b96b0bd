"""One answer that has to be of a form: which tokens its next canvas takes.

Whatever the network says, the canvas chosen goes on from the one before, and leaves enough tokens
to bring the answer to its end.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import torch
from torch import Tensor

from palimpsest.engine.commands import Thinking
from palimpsest.engine.shapes import Logits
from palimpsest.engine.structure.constraint import Constraint
from palimpsest.engine.structure.paths import best_path
from palimpsest.engine.structure.transitions import Transitions
from palimpsest.engine.structure.vocabulary import Vocabulary
from palimpsest.engine.tiles import LogitsOf, tiles

CANDIDATES = 32
"""Likeliest tokens of each position that a path may take, besides bridges."""


class Form:
    """Follows one answer from canvas to canvas."""

    def __init__(
        self,
        constraint: Constraint,
        vocabulary: Vocabulary,
        *,
        end_ids: Collection[int],
        thinking: Thinking | None,
        limit: int,
    ) -> None:
        """The answer has at most `limit` tokens, which must be as many as the shortest text has."""
        self._transitions = Transitions(constraint, vocabulary, end_ids=end_ids, thinking=thinking)
        self._bridges = [*constraint.bridges, *sorted(end_ids)]
        if thinking is not None:
            self._bridges += [thinking.open_id, thinking.close_id]
        self._budget = None if thinking is None else thinking.budget
        self._state = self._transitions.start
        self._limit = limit
        self._position = 0

    def commit(self, token_ids: Sequence[int]) -> None:
        """Tokens of a canvas that is final and followed by another."""
        self._state = self._transitions.after(self._state, token_ids)
        self._position += len(token_ids)

    def choose(self, logits_of: LogitsOf, *, length: int, vocabulary: int) -> list[int]:
        """Tokens [length] of the next canvas, the most probable of those that the form allows."""
        parts = [self._candidates(logits_of(rows)) for rows in tiles(length, vocabulary)]
        ids, logits = (torch.cat(part) for part in zip(*parts, strict=True))
        return self._canvas(ids, logits)

    def _candidates(self, logits: Logits) -> tuple[Tensor, Tensor]:
        """Tokens that some positions may take, [rows, K] ids and logits."""
        count = min(CANDIDATES, logits.shape[-1])
        bridges = torch.tensor(self._bridges, device=logits.device).expand(len(logits), -1)
        ids = torch.cat([logits.topk(count, dim=-1).indices, bridges], dim=-1)
        return ids, logits.gather(1, ids)

    def _canvas(self, ids: Tensor, logits: Tensor) -> list[int]:
        """The best path through the candidates [C, K] of all positions."""
        tokens, scores = ids.cpu().numpy(), logits.double().cpu().numpy()
        known, place = np.unique(tokens, return_inverse=True)
        classes, group_of = np.unique(self._transitions.classes_of(known), return_inverse=True)
        groups = group_of[place].reshape(tokens.shape)
        best, chosen = _best_of_each(tokens, scores, groups, len(classes))
        path = best_path(
            best,
            self._transitions.leads(classes),
            self._open_states(len(tokens)),
            start=self._state,
        )
        return [int(chosen[i, group]) for i, group in enumerate(path)]

    def _open_states(self, length: int) -> np.ndarray:
        """[C + 1, states] that the answer may be in before each position and after the last: none
        of a thought that its budget no longer has room to open, none but the end's where the limit
        is reached, and at last those from which the tokens that are left suffice.
        """
        of = self._transitions
        states = np.ones((length + 1, len(of.needed)), np.bool_)
        if self._budget is not None:
            states[max(0, self._budget - 1 - self._position) + 1 :, of.thought] = False
        over = max(0, self._limit - self._position)
        states[over:length, : of.ended] = False
        states[length] &= of.needed <= max(0, self._limit - self._position - length)
        return states


def _best_of_each(
    tokens: np.ndarray, scores: np.ndarray, groups: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """[C, count] the highest score of each group at each position, and its token, the lowest of
    equals; -inf where no candidate is of the group.
    """
    rows = np.broadcast_to(np.arange(len(tokens))[:, None], tokens.shape)
    order = np.lexsort((-tokens, scores), axis=1)
    groups = np.take_along_axis(groups, order, 1)
    best = np.full((len(tokens), count), -np.inf)
    chosen = np.zeros((len(tokens), count), np.int64)
    # of several assignments to one place the last one stays: the highest score
    best[rows, groups] = np.take_along_axis(scores, order, 1)
    chosen[rows, groups] = np.take_along_axis(tokens, order, 1)
    return best, chosen
