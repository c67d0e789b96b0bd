"""What the two products of the experts share: tiles, and how rows find their way to them.

Weights stand on the M side of the tensor cores and rows on the N side, which may be narrow. A
program has a tile of an expert's weights and runs all of the expert's rows past it, BLOCK_T at a
time; a second pass finds the weights in the L2 cache.
"""

from __future__ import annotations

import triton
import triton.language as tl

from palimpsest.kernels.fused.gelu import gelu_tanh
from palimpsest.kernels.fused.rounding import e4m3

IMPRECISE = 128
"""Terms that the tensor cores of sm_90 may add up in their own 14 bits before fp32 takes over.

It costs an addition per number of the accumulators and step, as many registers again, and waiting
for each product; left to itself, Triton never lets fp32 take over.
"""


def rows_of_a_tile(rows: int) -> int:
    """BLOCK_T for passes of `rows` rows.

    The one tile size that depends on how many rows there are: wide tiles read weights fewer times,
    narrow ones compute less that nobody needs. A row's bits do not depend on it, as each number is
    one sum over K in the same order, whatever stands in the columns beside it.
    """
    # With 8 of 128 experts per row, an expert has 16 rows of each 256.
    if rows <= 512:
        return 32
    return 64 if rows <= 2048 else 128


@triton.jit
def loaded_once(index):
    """The same numbers. What is read through them in a loop is read once per program and passes
    through shared memory, as no layout crosses a scan; Triton 3.6 else has every thread read its
    own copies, eight where one would do.
    """
    return tl.associative_scan(index, 0, _right)


@triton.jit
def _right(left, right):
    return right


@triton.jit
def load_columns(x, row, live, k, K: tl.constexpr, BLOCK_K: tl.constexpr):
    """Of the given rows of a matrix [rows, K], the tile [BLOCK_K, rows] at `k`; else zeros."""
    column = k + tl.arange(0, BLOCK_K)
    mask = live[:, None] & (column < K)[None, :]
    return tl.load(x + (row[:, None] * K + column[None, :]), mask=mask, other=0.0).T


@triton.jit
def store_gated(
    gated,
    gated_scales,
    gate,
    up,
    index,
    live,
    group,
    INNER: tl.constexpr,
    GROUP: tl.constexpr,
    EMULATED: tl.constexpr,
):
    """Stores gelu_tanh(gate) · up [GROUP, rows] as columns of a group of the rows at `index`, in
    e4m3 with one scale per row.
    """
    column = group * GROUP + tl.arange(0, GROUP)
    mask = column < INNER
    # beyond I stand others' weights
    a = tl.where(mask[:, None], gelu_tanh(gate) * up, 0.0)
    scale = tl.maximum(tl.max(tl.abs(a), 0) / 448.0, 1e-12)
    groups: tl.constexpr = (INNER + GROUP - 1) // GROUP
    tl.store(gated_scales + index * groups + group, scale, mask=live)
    a = e4m3(a / scale[None, :], EMULATED)
    out = gated + index[:, None] * INNER + column[None, :]
    tl.store(out, a.T, mask=live[:, None] & mask[None, :])
