"""Our own layout of experts in 6 and 4 bits (W6A8, W4A8), for kernels that multiply in eight bits.

An expert has two matrices, `experts.E.gate_up_proj` [2 I, H], the gate's rows first, and
`experts.E.down_proj` [H, I]. Each is `weight_planes`, bytes, and `weight_scale`, BF16, with the
shapes and in the order in which kernels/lowbit.py packs them, where both are described. Attention
and dense MLP stand beside them in FP8, as float8.py reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from palimpsest.engine.headers import Entry
from palimpsest.engine.quantised.scheme import Part
from palimpsest.kernels.lowbit import Bits, LowBit, dequantise_low, quantise_low

PLANES, SCALE = "weight_planes", "weight_scale"


@dataclass(frozen=True, slots=True, kw_only=True)
class LowBitExperts:
    """The matrices of one kind."""

    bits: Bits
    gated: bool
    """Whether the second half of the rows are partners of the first."""
    unused: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return f"palimpsest w{self.bits}a8"

    def parts(self, rows: int, columns: int) -> dict[str, Part]:
        return _parts(rows, columns, self.bits, self.gated)

    def decode(self, parts: Mapping[str, Tensor], *, rows: int, columns: int) -> Tensor:
        return dequantise_low(self.packed(parts, rows, columns))

    def packed(self, parts: Mapping[str, Tensor], rows: int, columns: int) -> LowBit:
        """As the fused kernels read it."""
        return LowBit(
            planes=parts[PLANES],
            scales=parts[SCALE],
            rows=rows,
            columns=columns,
            gated=self.gated,
        )

    def bytes_per_weight(self, rows: int, columns: int) -> float:
        """Of a matrix of this shape, filling included."""
        entries = (
            Entry(dtype=part.dtypes[0], shape=part.shape)
            for part in self.parts(rows, columns).values()
        )
        return sum(entry.num_bytes for entry in entries) / (rows * columns)

    def encode(self, weight: Tensor, *, largest: float) -> dict[str, Tensor]:
        """The parts of `weight`; every 64 columns of a row have their own scale, or 128 where it is
        not gated, whatever is `largest`. Error: 2.6 % in 6 bits, 10.1 % or 10.5 % in 4 (root mean
        square, Gaussian values).
        """
        packed = quantise_low(weight, bits=self.bits, gated=self.gated)
        return {PLANES: packed.planes, SCALE: packed.scales}


@cache
def _parts(rows: int, columns: int, bits: Bits, gated: bool) -> dict[str, Part]:
    """The shapes that a matrix without numbers is packed into."""
    packed = quantise_low(torch.empty(rows, columns, device="meta"), bits=bits, gated=gated)
    return {
        PLANES: Part(dtypes=("U8",), shape=tuple(packed.planes.shape)),
        SCALE: Part(dtypes=("BF16",), shape=tuple(packed.scales.shape)),
    }
