"""How kernels store rows: in their own dtype, or as e4m3 with one scale per row (see quantise.py).

A `Rounded` is what the next matrix product reads.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from palimpsest.kernels.quantise import (
    GROUP,
    dequantise_groups,
    dequantise_rows,
    quantise_groups,
    quantise_rows,
)

INTERPRETED: bool = triton.knobs.runtime.interpret
"""Whether kernels run in Triton's interpreter, whose casts to e4m3 are wrong (3.7, 3.9)."""


@dataclass(frozen=True, slots=True)
class Rounded:
    """Rows [T, K] as stored: e4m3 with fp32 `scales`, or their own dtype without.

    Scales are [T], or [T, groups] with one for every GROUP columns.
    """

    values: Tensor
    scales: Tensor | None

    @classmethod
    def empty(cls, like: Tensor, *, quantised: bool) -> Rounded:
        """Room for rows such as `like`."""
        if not quantised:
            return cls(torch.empty_like(like), None)
        values = torch.empty_like(like, dtype=torch.float8_e4m3fn)
        return cls(values, like.new_empty(like.shape[:-1], dtype=torch.float32))

    @classmethod
    def of(cls, rows: Tensor, *, quantised: bool) -> Rounded:
        """The plain definition of what kernels store."""
        return cls(*quantise_rows(rows)) if quantised else cls(rows, None)

    @classmethod
    def grouped(cls, rows: Tensor, *, quantised: bool) -> Rounded:
        """The plain definition of rows with a scale per group of columns."""
        return cls(*quantise_groups(rows)) if quantised else cls(rows, None)

    @classmethod
    def empty_grouped(
        cls, like: Tensor, rows: int, columns: int, *, dtype: torch.dtype | None
    ) -> Rounded:
        """Room for those, on the device of `like`; `dtype` None means e4m3."""
        if dtype is not None:
            return cls(like.new_empty(rows, columns, dtype=dtype), None)
        values = like.new_empty(rows, columns, dtype=torch.float8_e4m3fn)
        groups = -(-columns // GROUP)
        return cls(values, like.new_empty(rows, groups, dtype=torch.float32))

    def exact(self) -> Tensor:
        """The rows in fp32."""
        if self.scales is None:
            return self.values.float()
        rowwise = self.scales.ndim < self.values.ndim
        return (dequantise_rows if rowwise else dequantise_groups)(self.values, self.scales)


@triton.jit
def store_rounded(values, scales, row, columns, mask, x, EMULATED: tl.constexpr):
    """Stores `x` (fp32, 0 outside `mask`) as the given row; quantises if there are scales."""
    if scales is not None:
        scale = tl.maximum(tl.max(tl.abs(x), 0) / 448.0, 1e-12)
        tl.store(scales + row, scale)
        x = e4m3(x / scale, EMULATED)
    tl.store(values + columns, x.to(values.dtype.element_ty), mask=mask)


@triton.jit
def e4m3(x, EMULATED: tl.constexpr):
    """`x` (fp32, at most 448 in magnitude) rounded to the nearest e4m3, ties to even."""
    if EMULATED:
        bits = x.to(tl.uint32, bitcast=True)
        magnitude = bits & 0x7FFFFFFF
        # keep three bits of mantissa, and count exponents from -7 instead of -127
        normal = ((magnitude + 0x7FFFF + ((magnitude >> 20) & 1)) >> 20) - (120 << 3)
        # below 2^-6 numbers lie 2^-9 apart; adding 2^23 rounds to integers
        small = (tl.abs(x) * 512.0 + 8388608.0) - 8388608.0
        code = tl.where(magnitude < (121 << 23), small.to(tl.uint32), normal)
        rounded = ((bits >> 31 << 7) | code).to(tl.uint8).to(tl.float8e4nv, bitcast=True)
    else:
        rounded = x.to(tl.float8e4nv)
    return rounded
