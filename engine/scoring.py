"""How probable given answers are, read off canvases: a label's tokens, then an end token.

log P(label) = sum over i < n of log p_i(token i), plus log of the sum of p_n(e) over all end tokens
e: n is the label's length and p_i the softmax of the network's own logits at position i, at
temperature 1 and in fp32. Given the canvas that the network saw, positions are independent of one
another, as they are where denoising draws them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from palimpsest.engine.shapes import Logits
from palimpsest.engine.tiles import tiles

Label = Sequence[int]
"""Token ids of an answer."""
LogitsAt = Callable[[list[int]], Logits]
"""Raw fp32 logits of these rows of all canvases laid end to end."""
ROW_MULTIPLE = 4
"""Matrix libraries round otherwise for fewer rows: see `mixture_of_experts`."""


@dataclass(frozen=True, slots=True)
class _Term:
    """A token whose log-probability is part of a label's."""

    place: int
    """Of its row among all that are read."""
    token: int
    terms: list[float] = field(repr=False)
    """Of its label, so far."""


def label_scores(
    logits_at: LogitsAt,
    asked: Sequence[tuple[int, Sequence[Label]]],
    *,
    end_token_ids: Collection[int],
    vocabulary_size: int,
) -> list[tuple[float, ...]]:
    """log P of each label of each canvas, in nats. A canvas is given by the row of its position 0;
    its labels are all shorter than it is.
    """
    rows: list[int] = []
    wanted: list[_Term] = []
    of_canvases: list[list[list[float]]] = []
    for first, labels in asked:
        of_canvases.append([[] for _ in labels])
        for label, terms in zip(labels, of_canvases[-1], strict=True):
            # any end token is one token more, behind the vocabulary
            answer = enumerate((*label, vocabulary_size), start=len(rows))
            wanted += [_Term(place, token, terms) for place, token in answer]
        rows += range(first, first + max(map(len, labels)) + 1)
    rows += rows[-1:] * (-len(rows) % ROW_MULTIPLE)
    # in tiles, as the sampler: memory stays bounded
    for tile in tiles(len(rows), vocabulary_size):
        told = _with_ending(logits_at(rows[tile]).log_softmax(dim=-1), end_token_ids)
        _read(told, tile, wanted)
    return [tuple(map(math.fsum, terms)) for terms in of_canvases]


def _read(told: Tensor, tile: slice, wanted: Sequence[_Term]) -> None:
    """Adds to each label what it has in this tile, in one gather: a device waits for each."""
    here = [term for term in wanted if tile.start <= term.place < tile.stop]
    at, tokens = [term.place - tile.start for term in here], [term.token for term in here]
    for term, value in zip(here, told[at, tokens].tolist(), strict=True):
        term.terms.append(value)


def _with_ending(logprobs: Logits, end_token_ids: Collection[int]) -> Tensor:
    """[R, V + 1]: the last column is that of any end token."""
    ending = logprobs[:, sorted(end_token_ids)].logsumexp(dim=-1, keepdim=True)
    return torch.cat([logprobs, ending], dim=-1)
