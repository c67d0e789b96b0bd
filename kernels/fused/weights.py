"""How kernels read weights: by descriptor where the card has a copy engine, else by pointers.

What lies beyond a matrix reads as zero in both ways.
"""

from __future__ import annotations

import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from palimpsest.kernels.fused.target import has_tma

Matrix = Float[Tensor, "rows K"]

ALIGNMENT_BYTES = 16
"""Of every row that a descriptor reaches."""


def weights_operand(
    matrix: Matrix, block: list[int], *, tma: bool | None
) -> tuple[TensorDescriptor | Tensor, bool]:
    """What `load_weights` reads `block`s of the matrix through, and its `TMA`.

    `tma` None means what the card can do; rows that are not aligned are read by pointers anyway.
    """
    aligned = matrix.shape[1] * matrix.element_size() % ALIGNMENT_BYTES == 0
    if aligned and (has_tma() if tma is None else tma):
        return TensorDescriptor.from_tensor(matrix, block), True
    return matrix, False


@triton.jit
def load_weights(
    weights,
    row,
    k,
    ROWS: tl.constexpr,
    K: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_K: tl.constexpr,
    TMA: tl.constexpr,
):
    """The tile [BLOCK_ROWS, BLOCK_K] at `row` and `k` of a matrix [ROWS, K]."""
    if TMA:
        tile = weights.load([row, k])
    else:
        rows = (row + tl.arange(0, BLOCK_ROWS))[:, None]
        columns = (k + tl.arange(0, BLOCK_K))[None, :]
        place = rows.to(tl.int64) * K + columns
        tile = tl.load(weights + place, mask=(rows < ROWS) & (columns < K), other=0.0)
    return tile
