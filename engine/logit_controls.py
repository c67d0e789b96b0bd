"""One request's own hand on the logits of its canvases: bias, bans, permissions, penalties, pins.

They act before everything else that is read off the logits, so on the draw, acceptance, drafts and
the signal to the next step alike.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from palimpsest.engine.sampling import Sampling
from palimpsest.engine.shapes import Logits
from palimpsest.engine.tiles import LogitsOf

FORBIDDEN = -1e30
"""Added to a logit: probability 0 at any temperature, and finite, so that 0 · log 0 stays 0."""


@runtime_checkable
class Chooser(Protocol):
    """What looks at a canvas as a whole before each of its steps."""

    def choose(self, logits_of: LogitsOf, *, length: int, vocabulary: int) -> list[int]:
        """A token for each of the `length` positions; a negative one leaves it as it is."""
        ...

    def commit(self, token_ids: Sequence[int]) -> None:
        """Tokens of a canvas that is final and followed by another."""
        ...


class LogitControls:
    """What is done to the logits of one request's next canvas."""

    def __init__(
        self,
        sampling: Sampling,
        *,
        always_allowed: Iterable[int],
        size: int,
        device: torch.device,
        pinned: Sequence[tuple[int, int]] = (),
        chooser: Chooser | None = None,
    ) -> None:
        """`always_allowed` end an answer or fill up behind it; `size` is the vocabulary's. `pinned`
        are ascending positions of the answer with their only token.
        """
        self._sampling = sampling
        self._chooser = chooser
        self._chosen: Tensor | None = None
        """[C], what the chooser wants of the step under way."""
        self._pinned = pinned
        self._length = 0
        """Of the canvases committed so far."""
        self._added = torch.zeros(size, device=device)
        """[V], to the logit of each token."""
        self._seen = torch.zeros(size, dtype=torch.bool, device=device)
        """[V], tokens of prompt and committed canvases."""
        self._written = torch.zeros_like(self._seen)
        """[V], tokens of committed canvases alone."""
        if sampling.allowed_token_ids:
            self._added.fill_(FORBIDDEN)
            self._added[[*sampling.allowed_token_ids, *always_allowed]] = 0.0
        for token, bias in sampling.logit_bias:
            self._added[token] += bias
        self._added[list(sampling.banned_token_ids)] = FORBIDDEN

    def read(self, token_ids: Sequence[int]) -> None:
        """Tokens of the prompt."""
        self._seen[list(token_ids)] = True

    def commit(self, token_ids: Sequence[int]) -> None:
        """Tokens of a canvas that is final and followed by another."""
        self.read(token_ids)
        committed = torch.tensor(token_ids, dtype=torch.int64, device=self._added.device)
        ids, counts = committed.unique(return_counts=True)
        self._added[ids] -= self._sampling.frequency_penalty * counts
        self._length += len(token_ids)
        if self._chooser is not None:
            self._chooser.commit(token_ids)
        fresh = ids[~self._written[ids]]
        self._added[fresh] -= self._sampling.presence_penalty
        self._written[fresh] = True

    def look(self, logits_of: LogitsOf, length: int) -> None:
        """Once before each step of a canvas of `length` rows, of which `logits_of` tells."""
        if self._chooser is None:
            return
        self._chosen = None
        chosen = self._chooser.choose(
            lambda rows: self.apply(logits_of(rows), first=rows.start),
            length=length,
            vocabulary=len(self._added),
        )
        self._chosen = torch.tensor(chosen, device=self._added.device)

    def apply(self, logits: Logits, *, first: int = 0) -> Logits:
        """Logits of rows of the request's canvas, from its position `first` on, as it wants them.

        A pin wins over everything else: its token has probability 1.
        """
        penalty = self._sampling.repetition_penalty
        if penalty != 1.0:
            penalised = torch.where(logits > 0.0, logits / penalty, logits * penalty)
            logits = torch.where(self._seen, penalised, logits)
        logits = logits + self._added
        start = self._length + first
        low, high = (
            bisect_left(self._pinned, (place, 0)) for place in (start, start + len(logits))
        )
        if low < high:
            positions, tokens = zip(*self._pinned[low:high], strict=True)
            rows = torch.tensor(positions, device=logits.device) - start
            _pin(logits, rows, torch.tensor(tokens, device=logits.device))
        if self._chosen is not None:
            chosen = self._chosen[first : first + len(logits)]
            # where the network would have taken the same, it keeps its doubts
            overruled = ((chosen >= 0) & (chosen != logits.argmax(dim=-1))).nonzero()[:, 0]
            _pin(logits, overruled, chosen[overruled])
        return logits


def _pin(logits: Logits, rows: Tensor, tokens: Tensor) -> None:
    """Leaves each of some rows one token."""
    logits[rows] = FORBIDDEN
    logits[rows, tokens] = 0.0


def controlled(
    logits_of: LogitsOf, controls: Sequence[LogitControls | None], *, length: int
) -> LogitsOf:
    """The logits of canvases of `length` rows each, each in the hands of its own controls."""
    if not any(controls):
        return logits_of
    for i, control in enumerate(controls):
        if control is not None:
            control.look(_from(logits_of, i * length), length)

    def of(rows: slice) -> Logits:
        logits = logits_of(rows)
        for i in range(rows.start // length, -(-rows.stop // length)):
            if (control := controls[i]) is not None:
                begin = max(i * length - rows.start, 0)
                own = logits[begin : (i + 1) * length - rows.start]
                own.copy_(control.apply(own, first=rows.start + begin - i * length))
        return logits

    return of


def _from(logits_of: LogitsOf, first: int) -> LogitsOf:
    """The same with rows counted from `first`."""
    return lambda rows: logits_of(slice(first + rows.start, first + rows.stop))
