"""Weights in 6 and 4 bits: e2m3 and e2m1 codes, one bf16 scale per row and 64 columns.

Such a code, its exponent in the low exponent bits of an e4m3 number, stands there for 2^-6 of its
value, exactly and if subnormal too; so codes become operands of eight-bit products by moving bits.
A stored scale has the 2^6 in it: weight = e4m3 · scale. Products of 64 terms are added up unscaled
and multiplied by the scale in fp32.

6.25 and 4.25 bits a weight. The relative error (root mean square) is 2.6 % and 10.1 % for Gaussian
weights; e4m3 with one scale per row (quantise.py) has 2.6 %.

A tile is 128 rows by 64 columns, in four blocks; where rows are gates and then what they multiply,
a tile has 64 of the former above their 64 partners. Blocks are stored in planes of 64 × 32 bytes,
two for 4 bits and three for 6:

    block 0 | block 1     row 0       bits of a byte   7 6 5 4 3 2 1 0
    --------+--------                 4 bits, plane 0  s E S e e m E M   block 0, in capitals 1
    block 2 | block 3     row 64                    1  s E S e e m E M   block 2, in capitals 3
    column 0  column 32               6 bits, plane 0  s E E e e m m m   block 0, in capitals 3
                                                    1  s M M e e m m m   block 1, in capitals 3
                                                    2  s S M e e m m m   block 2, in capitals 3

so that blocks in small letters are a byte of e4m3 as soon as the rest is masked. The bytes of a
plane lie as the threads of a warp group want them, 16 bytes each: row 16 w + 8 i + g and column
16 j + 4 q + b at [w, g, q, j, i, b]. Tiles follow each other along the columns, then the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from palimpsest.kernels.quantise import GROUP

Bits = Literal[4, 6]
Weight = Float[Tensor, "*experts rows columns"]
Planes = UInt8[Tensor, "*experts tiles groups bytes"]
PairedScales = Float[Tensor, "*experts tiles groups 64 2"]
Codes = UInt8[Tensor, "*shape"]

HALF = 64
"""Rows of a block: what a warp group multiplies at once (PTX ISA, wgmma.m64nNk32)."""
BLOCK_COLUMNS = 32
"""Columns of a block: those of one such instruction on bytes."""
PLANE_BYTES = HALF * BLOCK_COLUMNS
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
    """uint8, 2 · PLANE_BYTES a tile for 4 bits and 3 · PLANE_BYTES for 6."""
    scales: PairedScales
    """bf16; of the two rows of a tile that are 64 apart."""
    rows: int
    columns: int
    gated: bool
    """Whether the second half of the rows are partners of the first."""

    @property
    def bits(self) -> Bits:
        return 4 if self.planes.shape[-1] == 2 * PLANE_BYTES else 6


def quantise_low(weight: Weight, *, bits: Bits, gated: bool = False) -> LowBit:
    """Rounds to the nearest code, ties to even; holds several fp32 copies of `weight` meanwhile."""
    rows, columns = weight.shape[-2:]
    tiles = _cut(weight.float(), gated=gated)  # [*experts, tiles, groups, 2, 64, 64]
    scales = (tiles.abs().amax(dim=-1) * (64 / _largest(bits))).clamp_min(SMALLEST_SCALE)
    scales = scales.bfloat16()
    codes, error = _nearest(tiles, scales, bits)
    if bits == 4:
        shrunk = (SHRUNK * scales.float()).bfloat16()
        others, error_of_others = _nearest(tiles, shrunk, bits)
        better = error_of_others < error
        codes = torch.where(better[..., None], others, codes)
        scales = torch.where(better, shrunk, scales)
    return LowBit(
        planes=_packed(codes, bits),
        scales=scales.transpose(-1, -2).contiguous(),
        rows=rows,
        columns=columns,
        gated=gated,
    )


def dequantise_low(weight: LowBit) -> Weight:
    """What it stands for, in fp32."""
    codes = _unpacked(weight.planes, weight.bits).view(torch.float8_e4m3fn)
    tiles = codes.float() * weight.scales.float().transpose(-1, -2)[..., None]
    return _joined(tiles, weight.rows, weight.columns, gated=weight.gated)


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


def _cut(weight: Weight, *, gated: bool) -> Tensor:
    """Tiles [*experts, tiles, groups, 2, 64, 64], filled up with zeros."""
    experts, (rows, columns) = weight.shape[:-2], weight.shape[-2:]
    halves = weight.reshape(*experts, 2 if gated else 1, rows // (2 if gated else 1), columns)
    multiple = HALF if gated else 2 * HALF
    filling = (0, -columns % GROUP, 0, -halves.shape[-2] % multiple)
    halves = torch.nn.functional.pad(halves, filling).unflatten(-1, (-1, GROUP))
    if gated:
        tiles = halves.unflatten(-3, (-1, HALF)).transpose(-5, -4)
    else:
        tiles = halves.squeeze(-4).unflatten(-3, (-1, 2, HALF))
    return tiles.movedim(-2, -4).contiguous()


def _joined(tiles: Tensor, rows: int, columns: int, *, gated: bool) -> Weight:
    """The inverse of `_cut`."""
    tiles = tiles.movedim(-4, -2).flatten(-2)  # [*experts, tiles, 2, 64, columns]
    if not gated:
        return tiles.flatten(-4, -2)[..., :rows, :columns].contiguous()
    halves = tiles.transpose(-4, -3).flatten(-3, -2)[..., : rows // 2, :columns]
    return halves.flatten(-3, -2).contiguous()


def _packed(codes: Codes, bits: Bits) -> Planes:
    """Planes of tiles of codes."""
    a, b, c, d = _blocks(codes)
    if bits == 4:
        planes = [a | _left_over(b), c | _left_over(d)]
    else:
        exponent, upper, rest = (d & 0x18) << 2, (d & 0x06) << 4, (d & 0x80) >> 1 | (d & 0x01) << 5
        planes = [a | exponent, b | upper, c | rest]
    stacked = torch.stack(planes, dim=-3).unflatten(-2, (4, 2, 8)).unflatten(-1, (2, 4, 4))
    # [..., w, i, g, j, q, b] as [..., w, g, q, j, i, b]
    ordered = stacked.permute(*range(stacked.ndim - 6), -6, -4, -2, -3, -5, -1)
    return ordered.flatten(-7).contiguous()


def _unpacked(planes: Planes, bits: Bits) -> Codes:
    """The inverse of `_packed`: bytes of e4m3."""
    ordered = planes.unflatten(-1, (-1, 4, 8, 4, 2, 2, 4))
    stacked = ordered.permute(*range(ordered.ndim - 6), -6, -2, -5, -3, -4, -1)
    first, *others = stacked.flatten(-3).flatten(-4, -2).unbind(-3)
    if bits == 4:
        [second] = others
        blocks = [x for p in (first, second) for x in (p & 0x9C, (p << 2) & 0x8C | (p >> 2) & 0x10)]
    else:
        second, third = others
        last = (first >> 2) & 0x18 | (second >> 4) & 0x06 | (third << 1) & 0x80 | (third >> 5) & 1
        blocks = [*(p & 0x9F for p in (first, second, third)), last]
    halves = torch.stack(blocks, dim=-3).unflatten(-3, (2, 2))
    return halves.transpose(-3, -2).flatten(-2)


def _left_over(code: Codes) -> Codes:
    """A 4-bit code in the bits that another one leaves free."""
    return (code & 0x8C) >> 2 | (code & 0x10) << 2


def _blocks(codes: Codes) -> tuple[Tensor, ...]:
    """Of tiles [..., 2, 64, 64], four times [..., 64, 32]."""
    return codes.unflatten(-1, (2, BLOCK_COLUMNS)).transpose(-3, -2).flatten(-4, -3).unbind(-3)
