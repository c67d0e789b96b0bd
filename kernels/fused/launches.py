"""One launch of every kernel with the sizes of the released model, to compile or to time it.

Tensors are made on the given device: `meta` is enough to compile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from palimpsest.kernels.fused.after_attention import MlpNorms, after_attention
from palimpsest.kernels.fused.attention import attention
from palimpsest.kernels.fused.heads import (
    CacheSlots,
    HeadNorms,
    KeyValueRows,
    RotationTables,
    heads,
)
from palimpsest.kernels.fused.segment_table import PAGE_TOKENS, TILE_ROWS, SegmentTable

HIDDEN = 2816
HEADS = 16
ROWS = 256
"""Of one canvas."""
EPSILON = 1e-6
CONTEXT = 1024
"""Tokens before a canvas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionKind:
    """What sliding and full layers differ in."""

    groups: int
    head: int
    shared: bool
    """Whether values are made of raw keys."""
    window: int | None


SLIDING = AttentionKind(groups=8, head=256, shared=False, window=1024)
FULL = AttentionKind(groups=2, head=512, shared=True, window=None)


class Launches:
    """Launches by name, each a call without arguments."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def all(self) -> Mapping[str, Callable[[], object]]:
        return {
            "heads sliding": lambda: self.heads(SLIDING),
            "heads full": lambda: self.heads(FULL),
            "attention sliding e4m3": lambda: self.attention(SLIDING, quantised=True),
            "attention sliding bf16": lambda: self.attention(SLIDING, quantised=False),
            "attention full e4m3": lambda: self.attention(FULL, quantised=True),
            "attention full bf16": lambda: self.attention(FULL, quantised=False),
            "after_attention e4m3": lambda: self.after_attention(quantised=True),
            "after_attention bf16": lambda: self.after_attention(quantised=False),
        }

    def heads(self, kind: AttentionKind) -> object:
        parts = HEADS + (1 if kind.shared else 2) * kind.groups
        return heads(
            self._numbers(ROWS, parts * kind.head),
            HeadNorms(
                query=self._numbers(kind.head), key=self._numbers(kind.head), epsilon=EPSILON
            ),
            RotationTables(
                cosine=self._numbers(ROWS, kind.head), sine=self._numbers(ROWS, kind.head)
            ),
            num_heads=HEADS,
            num_groups=kind.groups,
            stays=CacheSlots(
                cache=self._key_values(CONTEXT + ROWS, kind),
                slots=self._integers(*range(CONTEXT, CONTEXT + ROWS)),
            ),
        )

    def attention(self, kind: AttentionKind, *, quantised: bool) -> object:
        """Of one canvas."""
        pages = CONTEXT // PAGE_TOKENS
        table = SegmentTable(
            tile_segment=self._integers(*[0] * (ROWS // TILE_ROWS)),
            first_row=self._integers(0),
            rows=self._integers(ROWS),
            start=self._integers(CONTEXT),
            causal=self._integers(0),
            first_page=self._integers(0),
            pages=self._integers(*range(pages))[None],
        )
        return attention(
            self._numbers(ROWS, HEADS, kind.head),
            self._key_values(ROWS, kind),
            self._key_values(CONTEXT, kind),
            table,
            window=kind.window,
            quantised=quantised,
        )

    def after_attention(self, *, quantised: bool) -> object:
        post, dense, experts, router = (self._numbers(HIDDEN) for _ in range(4))
        norms = MlpNorms(
            after_attention=post, dense=dense, experts=experts, router=router, epsilon=EPSILON
        )
        stream, attended = self._numbers(ROWS, HIDDEN), self._numbers(ROWS, HIDDEN)
        return after_attention(stream, attended, norms, quantised=quantised)

    def _key_values(self, rows: int, kind: AttentionKind) -> KeyValueRows:
        keys, values = (self._numbers(rows, kind.groups, kind.head) for _ in range(2))
        return KeyValueRows(keys=keys, values=values)

    def _integers(self, *numbers: int) -> Tensor:
        return torch.tensor(numbers, dtype=torch.int32, device=self.device)

    def _numbers(self, *shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.bfloat16, device=self.device)
