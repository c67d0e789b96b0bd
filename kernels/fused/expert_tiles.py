"""What the two products of the experts share: tiles, and how rows find their way to them.

Weights stand on the M side of the tensor cores and rows on the N side, which may be narrow. A
program has a tile of an expert's weights and runs all of the expert's rows past it, BLOCK_T at a
time; a second pass finds the weights in the L2 cache.
"""

from __future__ import annotations

import triton
import triton.language as tl

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
def load_columns(x, row, live, k, K: tl.constexpr, BLOCK_K: tl.constexpr):
    """Of the given rows of a matrix [rows, K], the tile [BLOCK_K, rows] at `k`; else zeros."""
    column = k + tl.arange(0, BLOCK_K)
    mask = live[:, None] & (column < K)[None, :]
    return tl.load(x + row[:, None] * K + column[None, :], mask=mask, other=0.0).T
