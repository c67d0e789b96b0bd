"""Tiles of matrices: by the copy engine where there is one, by pointers elsewhere.

What lies beyond a matrix reads as zero in both ways.
"""

from __future__ import annotations

from collections.abc import Sequence

import triton
import triton.language as tl
from jaxtyping import Shaped
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from palimpsest.kernels.fused.target import has_tma

Matrix = Shaped[Tensor, "*rows columns"]

ALIGNMENT_BYTES = 16
"""Of every row that a descriptor reaches."""


def tiled(
    matrix: Matrix, block: Sequence[int], *, tma: bool | None
) -> tuple[TensorDescriptor | Tensor, bool]:
    """What `load_tile` reads tiles of `block` rows and columns through, and its `TMA`.

    `tma` None means what the device can do; rows that are not aligned are read by pointers anyway.
    """
    aligned = matrix.shape[-1] * matrix.element_size() % ALIGNMENT_BYTES == 0
    if aligned and (has_tma() if tma is None else tma):
        return TensorDescriptor.from_tensor(matrix, list(block)), True
    return matrix, False


@triton.jit
def load_tile(
    matrix,
    row,
    column,
    rows,
    columns,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_COLUMNS: tl.constexpr,
    TMA: tl.constexpr,
):
    """[BLOCK_ROWS, BLOCK_COLUMNS] at `row` and `column` of a matrix [rows, columns]."""
    if TMA:
        tile = matrix.load([row, column])
    else:
        r = (row + tl.arange(0, BLOCK_ROWS))[:, None]
        c = (column + tl.arange(0, BLOCK_COLUMNS))[None, :]
        places = r.to(tl.int64) * columns + c
        tile = tl.load(matrix + places, mask=(r < rows) & (c < columns), other=0.0)
    return tile
