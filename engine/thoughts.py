"""Keeps the thoughts of one answer within their budget."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from palimpsest.engine.commands import Thinking
from palimpsest.engine.tiles import LogitsOf, tiles

FREE = -1
"""No token: the position is left as it is."""


class ThoughtBudget:
    """Closes a thought that is open where the budget ends; behind that none begins."""

    def __init__(self, thinking: Thinking, budget: int) -> None:
        """`budget` counts positions from the answer's first token."""
        self._thinking = thinking
        self._left = budget
        self._open = thinking.is_open

    def commit(self, token_ids: Sequence[int]) -> None:
        """Tokens of a canvas that is final and followed by another."""
        self._open = self._is_open_after(token_ids)
        self._left -= len(token_ids)

    def choose(self, logits_of: LogitsOf, *, length: int, vocabulary: int) -> list[int]:
        """Tokens [length] that the next canvas has to take, FREE where it need not."""
        # a marker at the last position of the budget closes; one that opens there cannot be closed
        last = max(self._left - 1, 0)
        if last >= length:
            return [FREE] * length
        chosen = [FREE] * length
        likeliest: list[int] = []
        for rows in tiles(length, vocabulary):
            logits = logits_of(rows)
            ids = logits.argmax(dim=-1).tolist()
            other = logits.clone()
            other[:, self._thinking.open_id] = -torch.inf
            for row, (token, instead) in enumerate(
                zip(ids, other.argmax(dim=-1).tolist(), strict=True), start=rows.start
            ):
                if row >= last and token == self._thinking.open_id:
                    chosen[row] = token = instead
                likeliest.append(token)
        if self._is_open_after(likeliest[:last]):
            chosen[last] = self._thinking.close_id
        return chosen

    def _is_open_after(self, token_ids: Iterable[int]) -> bool:
        is_open = self._open
        for token in token_ids:
            if token == self._thinking.open_id:
                is_open = True
            elif token in (self._thinking.close_id, self._thinking.call_id):
                is_open = False
        return is_open
