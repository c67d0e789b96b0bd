"""One launch of every kernel with the sizes of the released model, to compile or to time it.

Tensors are made on the given device: `meta` is enough to compile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from palimpsest.kernels.fused.after_attention import MlpNorms, after_attention
from palimpsest.kernels.fused.lm_head import lm_head

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

    def _floats(self, *shape: int) -> Tensor:
        return torch.rand(shape, device=self.device)

    def _numbers(self, *shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.bfloat16, device=self.device)
