"""Weights in 6 and 4 bits: e2m3 and e2m1 codes, one bf16 scale per row and 64 or 128 columns.

Such a code, its exponent in the low exponent bits of an e4m3 number, stands there for 2^-6 of its
value, exactly and if subnormal too; so codes become operands of eight-bit products by moving bits.
A stored scale has the 2^6 in it: weight = e4m3 · scale. Products of 64 terms are added up unscaled
and multiplied by the scale in fp32.

6.25 and 4.25 bits a weight with a scale for 64 columns, in gated matrices; an eighth of a bit less
with one for 128, in all others, whose products have a scale of the other side to multiply by too.
The relative error (root mean square) for Gaussian weights is 2.6 % in 6 bits, and 10.1 % or with
128 columns 10.5 % in 4; e4m3 with one scale per row (quantise.py) has 2.6 %.

A unit is two parts, X and Y, of 128 rows by 64 columns; X stands above Y. Where rows are gates and
then what they multiply, X is left of Y and each has 64 of the former above their 64 partners. Units
are stored in planes of 128 × 32 bytes, two for 4 bits and three for 6, with the codes of

    columns 0-31  32-63         bits of a byte   7 6 5 4 3 2 1 0
          +------+-----+        4 bits, plane 0  s E S e e m E M   x, in capitals X
        X |  x   |  X  |                      1  s E S e e m E M   y, in capitals Y
          +------+-----+        6 bits, plane 0  s E E e e m m m   x, in capitals Y
        Y |  y   |  Y  |                      1  s M M e e m m m   y, in capitals Y
          +------+-----+                      2  s S M e e m m m   X, in capitals Y

so that what is in small letters is a byte of e4m3 as soon as the rest is masked. The bytes of a
plane lie as the threads of a warp group want them, 16 bytes each: row 64 h + 16 w + 8 i + g and
column 16 j + 4 q + b at [h, w, g, q, j, i, b]. Units follow each other along the columns, then the
rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from palimpsest.kernels.quantise import GROUP

Bits = Literal[4, 6]
Weight = Float[Tensor, "*experts rows columns"]
Planes = UInt8[Tensor, "*experts row_units column_units bytes"]
PairedScales = Float[Tensor, "*experts row_units column_groups 128 2"]
Codes = UInt8[Tensor, "*shape"]

PART_ROWS = 128
BLOCK_COLUMNS = 32
"""Of what one instruction multiplies: wgmma.m64nNk32 of the PTX ISA, on bytes."""
PLANE_BYTES = PART_ROWS * BLOCK_COLUMNS
UNITS_OF_A_GROUP = 2
"""That lie side by side and share scales, where matrices are not gated."""
SHRUNK = 0.9
"""Of the scale that fits the largest number of a group, tried for 4 bits: where most others lie
better, that number may be cut off. From 10.6 % of error to 10.1 %.
"""
SMALLEST_SCALE = 1e-12
"""Of groups of zeros, which have no other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LowBit:
    """Matrices [*experts, rows, columns] in few bits."""

    planes: Planes
    """uint8, 2 · PLANE_BYTES a unit for 4 bits and 3 · PLANE_BYTES for 6."""
    scales: PairedScales
    """bf16, of X and Y side by side; a group is a unit, or two where matrices are not gated."""
    rows: int
    columns: int
    gated: bool
    """Whether the second half of the rows are partners of the first."""

    @property
    def bits(self) -> Bits:
        return 4 if self.planes.shape[-1] == 2 * PLANE_BYTES else 6

    def exact(self) -> Weight:
        """As `dequantise_low`."""
        return dequantise_low(self)


def quantise_low(weight: Weight, *, bits: Bits, gated: bool = False) -> LowBit:
    """Rounds to the nearest codes, ties to even. Several fp32 copies of one matrix are made."""
    if weight.ndim == 2:
        return _quantised(weight.float(), bits, gated=gated)
    each = [quantise_low(matrix, bits=bits, gated=gated) for matrix in weight]
    planes = torch.stack([one.planes for one in each])
    return replace(each[0], planes=planes, scales=torch.stack([one.scales for one in each]))


def dequantise_low(weight: LowBit) -> Weight:
    """What it stands for, in fp32."""
    codes = _unpacked(weight.planes, weight.bits).view(torch.float8_e4m3fn)
    scales = weight.scales.float().movedim(-1, -2)
    parts = codes.float() * _of_units(scales, weight.planes.shape[-2])[..., None]
    return _joined(parts, weight.rows, weight.columns, gated=weight.gated)


def _quantised(weight: Tensor, bits: Bits, *, gated: bool) -> LowBit:
    """Of one matrix in fp32."""
    parts = _cut(weight, gated=gated)  # [row_units, column_units, 2, 128, 64]
    units = parts.shape[1]
    largest = _together(parts.abs().amax(dim=-1), gated=gated).amax(dim=2)
    scales = (largest * (64 / _largest(bits))).clamp_min(SMALLEST_SCALE).bfloat16()
    codes, error = _nearest(parts, _of_units(scales, units), bits)
    if bits == 4:
        shrunk = (SHRUNK * scales.float()).bfloat16()
        others, error_of_others = _nearest(parts, _of_units(shrunk, units), bits)
        better = _together(error_of_others - error, gated=gated).sum(dim=2) < 0
        codes = torch.where(_of_units(better, units)[..., None], others, codes)
        scales = torch.where(better, shrunk, scales)
    rows, columns = weight.shape
    return LowBit(
        planes=_packed(codes, bits),
        scales=scales.movedim(-2, -1).contiguous(),
        rows=rows,
        columns=columns,
        gated=gated,
    )


def _together(of_units: Tensor, *, gated: bool) -> Tensor:
    """[row_units, column_groups, U, ...] of [row_units, column_units, ...]: the U units side by
    side that share scales, filled up with zeros.
    """
    side = 1 if gated else UNITS_OF_A_GROUP
    filling = of_units.new_zeros(len(of_units), -of_units.shape[1] % side, *of_units.shape[2:])
    return torch.cat([of_units, filling], dim=1).unflatten(1, (-1, side))


def _of_units(of_groups: Tensor, units: int) -> Tensor:
    """[..., units, 2, 128] of [..., column_groups, 2, 128]."""
    side = -(-units // of_groups.shape[-3])
    return of_groups.repeat_interleave(side, dim=-3)[..., :units, :, :]


def _largest(bits: Bits) -> float:
    """The largest value of a code."""
    return 7.5 if bits == 6 else 6.0


def _nearest(tiles: Tensor, scales: Tensor, bits: Bits) -> tuple[Codes, Tensor]:
    """The nearest codes, as bytes of e4m3, and the sum of squared errors of each group."""
    steps = 8 if bits == 6 else 2  # below 1, and in each power of two
    x = tiles / scales.float()[..., None] * 64
    size = x.abs()
    code = torch.where(
        size < 2,
        (size * steps).round(),
        torch.where(
            size < 4,
            steps + (size * (steps / 2)).round(),
            2 * steps + (size * (steps / 4)).round(),
        ),
    )
    # the bits of a code are its number; e2m1 has a bit of mantissa, the upper one of three
    code = code.clamp_max(4 * steps - 1).byte() * (8 // steps)
    code |= (tiles < 0).byte() << 7
    error = code.view(torch.float8_e4m3fn).float() * 64 - x
    return code, error.square().sum(dim=-1) * scales.float().square()


def _cut(weight: Tensor, *, gated: bool) -> Tensor:
    """Parts [row_units, column_units, 2, 128, 64], filled up with zeros."""
    pad = torch.nn.functional.pad
    rows, columns = weight.shape
    if not gated:
        filled = pad(weight, (0, -columns % GROUP, 0, -rows % (2 * PART_ROWS)))
        return filled.view(-1, 2, PART_ROWS, filled.shape[1] // GROUP, GROUP).movedim(-2, 1)
    half = PART_ROWS // 2
    halves = weight.view(2, rows // 2, columns)
    filled = pad(halves, (0, -columns % (2 * GROUP), 0, -(rows // 2) % half))
    units = filled.view(2, -1, half, filled.shape[2] // (2 * GROUP), 2, GROUP)
    return units.permute(1, 3, 4, 0, 2, 5).flatten(3, 4)


def _joined(parts: Tensor, rows: int, columns: int, *, gated: bool) -> Weight:
    """The inverse of `_cut`, of [*experts, row_units, column_units, 2, 128, 64]."""
    if not gated:
        matrix = parts.movedim(-4, -2).flatten(-2).flatten(-4, -2)
        return matrix[..., :rows, :columns].contiguous()
    units = parts.unflatten(-2, (2, PART_ROWS // 2))  # [..., r, c, xy, 2, 64, 64]
    halves = units.movedim(-3, -6).movedim(-2, -4).flatten(-3).flatten(-3, -2)
    return halves[..., : rows // 2, :columns].flatten(-3, -2).contiguous()


def _packed(codes: Codes, bits: Bits) -> Planes:
    """Planes of units of codes [..., 2, 128, 64]."""
    (x, upper_x), (y, upper_y) = (part.split(BLOCK_COLUMNS, dim=-1) for part in codes.unbind(-3))
    if bits == 4:
        planes = [x | _left_over(upper_x), y | _left_over(upper_y)]
    else:
        d = upper_y
        sign_and_last = (d & 0x80) >> 1 | (d & 0x01) << 5
        planes = [x | (d & 0x18) << 2, y | (d & 0x06) << 4, upper_x | sign_and_last]
    stacked = torch.stack(planes, dim=-3).unflatten(-1, (2, 4, 4)).unflatten(-4, (2, 4, 2, 8))
    return _permuted(stacked, (-8, -7, -6, -4, -2, -3, -5, -1)).flatten(-8).contiguous()


def _unpacked(planes: Planes, bits: Bits) -> Codes:
    """The inverse of `_packed`: bytes of e4m3."""
    stored = planes.unflatten(-1, (-1, 2, 4, 8, 4, 2, 2, 4))
    stacked = _permuted(stored, (-8, -7, -6, -2, -5, -3, -4, -1)).flatten(-3).flatten(-5, -2)
    first, second, *third = stacked.unbind(-3)
    if bits == 4:
        x, y = first & 0x9C, second & 0x9C
        upper_x, upper_y = ((p << 2) & 0x8C | (p >> 2) & 0x10 for p in (first, second))
    else:
        x, y, upper_x = (p & 0x9F for p in (first, second, *third))
        sign_and_last = (third[0] << 1) & 0x80 | (third[0] >> 5) & 0x01
        upper_y = (first >> 2) & 0x18 | (second >> 4) & 0x06 | sign_and_last
    parts = torch.cat([x, upper_x], dim=-1), torch.cat([y, upper_y], dim=-1)
    return torch.stack(parts, dim=-3)


def _permuted(x: Tensor, last: tuple[int, ...]) -> Tensor:
    """With the last dimensions in another order."""
    return x.permute(*range(x.ndim - len(last)), *last)


def _left_over(code: Codes) -> Codes:
    """A 4-bit code in the bits that another one leaves free."""
    return (code & 0x8C) >> 2 | (code & 0x10) << 2
