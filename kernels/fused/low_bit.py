"""Codes of 6 and 4 bits as operands of eight-bit products (kernels/lowbit.py has the layout).

A plane of [128, 32] bytes is loaded as it lies, 32 lines of the cache; seen as rows and columns,
every thread of a warp group has 16 bytes in a row that are its part of the operand, four to a
register. There the codes become e4m3: 5 instructions for 8 weights of 4 bits, 11 for 16 of 6 bits,
besides a load of 16 bytes. Nothing passes from thread to thread, and operands never leave the
registers; no other layout would be wrong, only slower.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from jaxtyping import Int
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from palimpsest.kernels.fused.tiles import load_tile, tiled
from palimpsest.kernels.lowbit import LowBit

LINE_BYTES = 128
PLANE_LINES = 32

Operand = TensorDescriptor | Tensor
PairsOfScales = Int[Tensor, " pairs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LowOperands:
    """What the kernels read weights through."""

    first_planes: Operand
    """Read two planes at once: each load of its own costs 15 instructions and a barrier a step."""
    third_planes: Operand | None
    """The same bytes, one plane at once; None for 4 bits."""
    units: int
    pairs: PairsOfScales
    tma: bool

    @classmethod
    def of(cls, weight: LowBit, *, tma: bool | None) -> LowOperands:
        """For `load_unit`; `tma` None means what the device can do."""
        return cls._of(weight, weight.planes.view(-1, LINE_BYTES), [], tma=tma)

    @classmethod
    def of_two(cls, weight: LowBit, *, tma: bool | None) -> LowOperands:
        """For `load_two_units`."""
        lines = weight.planes.view(-1, weight.planes.shape[-1] // LINE_BYTES, LINE_BYTES)
        return cls._of(weight, lines, [2], tma=tma)

    @classmethod
    def _of(
        cls, weight: LowBit, lines: Tensor, at_once: list[int], *, tma: bool | None
    ) -> LowOperands:
        first, tma = tiled(lines, [*at_once, 2 * PLANE_LINES, LINE_BYTES], tma=tma)
        third = None
        if weight.bits == 6:
            third, _ = tiled(lines, [*at_once, PLANE_LINES, LINE_BYTES], tma=tma)
        return cls(
            first_planes=first,
            third_planes=third,
            units=weight.planes.shape[:-1].numel(),
            pairs=weight.scales.view(torch.int32).flatten(),
            tma=tma,
        )


@triton.jit
def load_unit(first_planes, third_planes, unit, units, TMA: tl.constexpr, EMULATED: tl.constexpr):
    """Parts X and Y of one of `units` units, each [128, 64] in e4m3."""
    lines: tl.constexpr = 64 if third_planes is None else 96
    at = unit * lines
    two = load_tile(first_planes, at, 0, units * lines, 128, 64, 128, TMA)
    # [plane, h, w, g, q, j, i, b] as [h, w, i, g, j, q, b, plane]
    two = tl.permute(tl.reshape(two, (2, 2, 4, 8, 4, 2, 2, 4)), (1, 2, 6, 3, 5, 4, 7, 0))
    p, q = tl.split(tl.reshape(two, (128, 32, 2)))
    r = None
    if third_planes is not None:
        r = load_tile(third_planes, at + 64, 0, units * lines, 128, 32, 128, TMA)
        r = tl.permute(tl.reshape(r, (2, 4, 8, 4, 2, 2, 4)), (0, 1, 5, 2, 4, 3, 6))
        r = tl.reshape(r, (128, 32))
    return _parts(p, q, r, EMULATED)


@triton.jit
def load_two_units(
    first_planes, third_planes, unit, units, TMA: tl.constexpr, EMULATED: tl.constexpr
):
    """Parts X and Y of a unit, then of the next, which is zeros beyond the last."""
    lines: tl.constexpr = 64 if third_planes is None else 96
    four = _load_planes(first_planes, unit, 0, units, lines, 2, TMA)
    # [unit, plane, h, w, g, q, j, i, b] as [h, w, i, g, j, q, b, plane, unit]
    four = tl.permute(tl.reshape(four, (2, 2, 2, 4, 8, 4, 2, 2, 4)), (2, 3, 7, 4, 6, 5, 8, 1, 0))
    this, following = tl.split(tl.reshape(four, (128, 32, 2, 2)))
    p, q = tl.split(this)
    p_next, q_next = tl.split(following)
    r = None
    r_next = None
    if third_planes is not None:
        two = _load_planes(third_planes, unit, 64, units, lines, 1, TMA)
        two = tl.permute(tl.reshape(two, (2, 2, 4, 8, 4, 2, 2, 4)), (1, 2, 6, 3, 5, 4, 7, 0))
        r, r_next = tl.split(tl.reshape(two, (128, 32, 2)))
    x, y = _parts(p, q, r, EMULATED)
    x_next, y_next = _parts(p_next, q_next, r_next, EMULATED)
    return x, y, x_next, y_next


@triton.jit
def _load_planes(
    planes, unit, line, units, LINES: tl.constexpr, COUNT: tl.constexpr, TMA: tl.constexpr
):
    """COUNT planes from a line of a unit on, and from the same of the next."""
    if TMA:
        tile = planes.load([unit, line, 0])
    else:
        place = tl.arange(0, 2 * COUNT * 32)
        of = unit + place // (COUNT * 32)
        row = of.to(tl.int64) * LINES + line + place % (COUNT * 32)
        at = row[:, None] * 128 + tl.arange(0, 128)[None, :]
        tile = tl.load(planes + at, mask=(of < units)[:, None], other=0)
    return tile


@triton.jit
def _parts(p, q, r, EMULATED: tl.constexpr):
    """Parts X and Y of the planes of a unit."""
    if r is None:
        x, upper_x = _four(p, EMULATED)
        y, upper_y = _four(q, EMULATED)
    else:
        x, y, upper_x, upper_y = _six(p, q, r, EMULATED)
    return _beside(x, upper_x), _beside(y, upper_y)


@triton.jit
def load_scales(pairs, unit):
    """The scales [128] of parts X and Y of a unit: bf16 is the upper half of fp32."""
    both = tl.load(pairs + unit.to(tl.int64) * 128 + tl.arange(0, 128))
    x = (both << 16).to(tl.float32, bitcast=True)
    y = (both & -65536).to(tl.float32, bitcast=True)
    return x, y


@triton.jit
def _beside(left, right):
    """Bytes of e4m3 [128, 64] of two times [128, 32]."""
    both = tl.reshape(tl.permute(tl.join(left, right), (0, 2, 1)), (128, 64))
    return both.to(tl.float8e4nv, bitcast=True)


@triton.jit
def _four(p, EMULATED: tl.constexpr):
    """The codes in small and in capital letters of a plane of 4 bits."""
    if EMULATED:
        small, capital = p & 0x9C, (p << 2) & 0x8C | (p >> 2) & 0x10
    else:
        # 0xEA is a & b | c; outputs may be where inputs are, so that they are written last
        small, capital = tl.inline_asm_elementwise(
            """{
            .reg .b32 up, down;
            shl.b32 up, $2, 2;
            shr.b32 down, $2, 2;
            and.b32 up, up, 0x8c8c8c8c;
            and.b32 $0, $2, 0x9c9c9c9c;
            lop3.b32 $1, down, 0x10101010, up, 0xEA;
            }""",
            "=r,=r,r",
            [p],
            dtype=(tl.uint8, tl.uint8),
            is_pure=True,
            pack=4,
        )
    return small, capital


@triton.jit
def _six(p, q, r, EMULATED: tl.constexpr):
    """The codes in small letters of three planes of 6 bits, and the one in capitals."""
    if EMULATED:
        x, y, z = p & 0x9F, q & 0x9F, r & 0x9F
        capital = (p >> 2) & 0x18 | (q >> 4) & 0x06 | (r << 1) & 0x80 | (r >> 5) & 0x01
    else:
        x, y, z, capital = tl.inline_asm_elementwise(
            """{
            .reg .b32 x, y, exponent, upper, sign, last;
            and.b32 x, $4, 0x9f9f9f9f;
            and.b32 y, $5, 0x9f9f9f9f;
            shr.b32 exponent, $4, 2;
            shr.b32 upper, $5, 4;
            shl.b32 sign, $6, 1;
            shr.b32 last, $6, 5;
            and.b32 exponent, exponent, 0x18181818;
            lop3.b32 upper, upper, 0x06060606, exponent, 0xEA;
            lop3.b32 sign, sign, 0x80808080, upper, 0xEA;
            and.b32 $2, $6, 0x9f9f9f9f;
            lop3.b32 $3, last, 0x01010101, sign, 0xEA;
            mov.b32 $0, x;
            mov.b32 $1, y;
            }""",
            "=r,=r,=r,=r,r,r,r",
            [p, q, r],
            dtype=(tl.uint8, tl.uint8, tl.uint8, tl.uint8),
            is_pure=True,
            pack=4,
        )
    return x, y, z, capital
