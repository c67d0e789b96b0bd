"""One launch of every kernel with the sizes of the released model, to compile or to time it.

Tensors are made on the given device: `meta` is enough to compile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from palimpsest.kernels.fused.after_attention import MlpNorms, after_attention
from palimpsest.kernels.fused.lm_head import WITH_TMA, WITHOUT_TMA, Summary, lm_head
from palimpsest.kernels.fused.noise import noise
from palimpsest.kernels.fused.sampling import Reading, read_rows
from palimpsest.kernels.fused.settle import CanvasProgress, CanvasRules, settle
from palimpsest.kernels.fused.soft_embedding import soft_embedding
from palimpsest.kernels.fused.target import has_tma

HIDDEN = 2816
ROWS = 256
"""Of one canvas."""
EPSILON = 1e-6
VOCABULARY = 262_144
SOFTCAP = 30.0


class Launches:
    """Launches by name, each a call without arguments."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def all(self) -> Mapping[str, Callable[[], object]]:
        return {
            "after_attention e4m3": lambda: self.after_attention(quantised=True),
            "after_attention bf16": lambda: self.after_attention(quantised=False),
            "lm_head bf16": self.lm_head,
            "read_rows bf16": self.read_rows,
            "noise": self.noise,
            "settle": self.settle,
            "soft_embedding bf16": self.soft_embedding,
        }

    def after_attention(self, *, quantised: bool) -> object:
        post, dense, experts, router = (self._numbers(HIDDEN) for _ in range(4))
        norms = MlpNorms(
            after_attention=post, dense=dense, experts=experts, router=router, epsilon=EPSILON
        )
        stream, attended = self._numbers(ROWS, HIDDEN), self._numbers(ROWS, HIDDEN)
        return after_attention(stream, attended, norms, quantised=quantised)

    def lm_head(self) -> object:
        return lm_head(
            hidden=self._numbers(ROWS, HIDDEN),
            embedding=self._numbers(VOCABULARY, HIDDEN),
            inverse_temperature=self._floats(ROWS),
            softcap=SOFTCAP,
        )

    def read_rows(self) -> object:
        return read_rows(self._summary(), self._floats(ROWS), vocabulary_size=VOCABULARY)

    def noise(self) -> object:
        return noise(
            seeds=torch.zeros(1, dtype=torch.int64, device=self.device),
            canvas_index=self._counts(1),
            step=self._counts(1),
            length=ROWS,
            vocabulary_size=VOCABULARY,
        )

    def settle(self) -> object:
        progress = CanvasProgress(
            tokens=self._counts(1, ROWS),
            draft=self._counts(1, ROWS),
            unchanged_steps=self._counts(1),
            step=self._counts(1),
        )
        rules = CanvasRules(
            entropy_bound=self._floats(1),
            confidence_threshold=self._floats(1),
            stability_threshold=self._counts(1),
            max_steps=self._counts(1),
        )
        drawn, argmax, noise = (self._counts(1, ROWS) for _ in range(3))
        entropy = self._floats(1, ROWS)
        return settle(progress, rules, entropy=entropy, drawn=drawn, argmax=argmax, noise=noise)

    def soft_embedding(self) -> object:
        reading = Reading(
            argmax=self._counts(ROWS),
            drawn=self._counts(ROWS),
            confidence=self._floats(ROWS),
            entropy=self._floats(ROWS),
            maximum=1 + self._floats(ROWS),
            total=1 + self._floats(ROWS),
        )
        embedding = self._numbers(VOCABULARY, HIDDEN)
        return soft_embedding(self._summary(), reading, embedding=embedding, scale=53.0)

    def _summary(self) -> Summary:
        tile = (WITH_TMA if has_tma() else WITHOUT_TMA).tokens
        tiles = VOCABULARY // tile
        return Summary(
            weights=self._numbers(ROWS, VOCABULARY).abs(),
            maxima=self._floats(ROWS, tiles),
            sums=1 + self._floats(ROWS, tiles),
            moments=-self._floats(ROWS, tiles),
            argmax=self._counts(ROWS, tiles),
        )

    def _counts(self, *shape: int) -> Tensor:
        return torch.ones(shape, dtype=torch.int32, device=self.device)

    def _floats(self, *shape: int) -> Tensor:
        return torch.rand(shape, device=self.device)

    def _numbers(self, *shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.bfloat16, device=self.device)
