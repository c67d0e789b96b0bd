"""One launch of every kernel with the sizes of the released model, to compile or to time it.

Tensors are made on the given device: `meta` is enough to compile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from palimpsest.kernels.fused.after_attention import MlpNorms, after_attention
from palimpsest.kernels.fused.enter import enter
from palimpsest.kernels.fused.linear import gated_linear, linear
from palimpsest.kernels.fused.rounding import Rounded

HIDDEN = 2816
MLP_WIDTH = 2112
VOCABULARY = 262_144
ROWS = 256
"""Of one canvas."""
EPSILON = 1e-6


class Launches:
    """Launches by name, each a call without arguments."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def all(self) -> Mapping[str, Callable[[], object]]:
        return {
            "enter e4m3": lambda: self.enter(quantised=True),
            "enter bf16": lambda: self.enter(quantised=False),
            "after_attention e4m3": lambda: self.after_attention(quantised=True),
            "after_attention bf16": lambda: self.after_attention(quantised=False),
            "qkv e4m3": lambda: self.linear(8192, HIDDEN, quantised=True),
            "qkv bf16": lambda: self.linear(8192, HIDDEN, quantised=False),
            "output projection e4m3": lambda: self.linear(HIDDEN, 4096, quantised=True),
            "output projection bf16": lambda: self.linear(HIDDEN, 4096, quantised=False),
            "dense gate and up e4m3": lambda: self.gated_linear(quantised=True),
            "dense gate and up bf16": lambda: self.gated_linear(quantised=False),
            "dense down e4m3": lambda: self.dense_down(),
        }

    def enter(self, *, quantised: bool) -> object:
        return enter(
            torch.zeros(ROWS, dtype=torch.int32, device=self.device),
            embedding=self._numbers(VOCABULARY, HIDDEN),
            scale=53.0,
            signal=self._numbers(ROWS, HIDDEN),
            canvas_rows=torch.arange(ROWS, dtype=torch.int32, device=self.device),
            norm=self._numbers(HIDDEN),
            epsilon=EPSILON,
            quantised=quantised,
        )

    def after_attention(self, *, quantised: bool) -> object:
        post, dense, experts, router = (self._numbers(HIDDEN) for _ in range(4))
        norms = MlpNorms(
            after_attention=post, dense=dense, experts=experts, router=router, epsilon=EPSILON
        )
        stream, attended = self._numbers(ROWS, HIDDEN), self._numbers(ROWS, HIDDEN)
        return after_attention(stream, attended, norms, quantised=quantised)

    def linear(self, columns: int, depth: int, *, quantised: bool) -> object:
        x, weight = self._rounded(ROWS, depth, quantised), self._rounded(columns, depth, quantised)
        return linear(x, weight, dtype=torch.bfloat16)

    def gated_linear(self, *, quantised: bool) -> object:
        x = self._rounded(ROWS, HIDDEN, quantised)
        weight = self._rounded(2 * MLP_WIDTH, HIDDEN, quantised)
        return gated_linear(x, weight, dtype=torch.bfloat16)

    def dense_down(self) -> object:
        x = Rounded.grouped(self._numbers(ROWS, MLP_WIDTH))
        return linear(x, self._rounded(HIDDEN, MLP_WIDTH, True), dtype=torch.bfloat16)

    def _rounded(self, rows: int, columns: int, quantised: bool) -> Rounded:
        return Rounded.of(self._numbers(rows, columns), quantised=quantised)

    def _numbers(self, *shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.bfloat16, device=self.device)
