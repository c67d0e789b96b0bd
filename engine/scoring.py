"""How probable given answers are, read off one canvas: a label's tokens, then an end token.

log P(label) = sum over i < n of log p_i(token i), plus log of the sum of p_n(e) over all end tokens
e: n is the label's length and p_i the softmax of the network's own logits at position i, at
temperature 1 and in fp32. Given the canvas that the network saw, positions are independent of one
another, as they are where denoising draws them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from palimpsest.engine.diffusion import tiles
from palimpsest.engine.logit_controls import LogitsOf
from palimpsest.engine.shapes import Logits

Label = Sequence[int]
"""Token ids of an answer."""


def label_scores(
    logits_of: LogitsOf,
    labels: Sequence[Label],
    *,
    first: int,
    end_token_ids: Collection[int],
    vocabulary_size: int,
) -> tuple[float, ...]:
    """log P of each label, in nats. `logits_of` gives raw logits of rows, of which `first` is the
    canvas's position 0; every label is shorter than the canvas.
    """
    # "any end token" is one token more, behind the vocabulary
    answers = [(*label, vocabulary_size) for label in labels]
    terms: list[list[float]] = [[] for _ in labels]
    # in tiles, as the sampler: memory stays bounded, and bits do not depend on company
    for rows in tiles(max(map(len, answers)), vocabulary_size):
        logits = logits_of(slice(first + rows.start, first + rows.stop))
        places = [
            (of_label, place - rows.start, token)
            for of_label, answer in zip(terms, answers, strict=True)
            for place, token in enumerate(answer)
            if rows.start <= place < rows.stop
        ]
        told = _with_ending(logits.log_softmax(dim=-1), end_token_ids)
        _, at, tokens = zip(*places, strict=True)
        # one gather for all: on a device each would be a wait
        for (of_label, _, _), value in zip(places, told[at, tokens].tolist(), strict=True):
            of_label.append(value)
    return tuple(map(math.fsum, terms))


def _with_ending(logprobs: Logits, end_token_ids: Collection[int]) -> Tensor:
    """[R, V + 1]: the last column is that of any end token."""
    ending = logprobs[:, sorted(end_token_ids)].logsumexp(dim=-1, keepdim=True)
    return torch.cat([logprobs, ending], dim=-1)
