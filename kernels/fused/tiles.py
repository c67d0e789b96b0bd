"""Tiles of matrices: by the copy engine where there is one, by pointers elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import triton
import triton.language as tl
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor


def tiled(matrix: Tensor, block: Sequence[int], *, tma: bool) -> Tensor | TensorDescriptor:
    """What `load_tile` reads: a descriptor of tiles of `block` rows and columns, or the matrix."""
    return TensorDescriptor.from_tensor(matrix, list(block)) if tma else matrix


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
    """[BLOCK_ROWS, BLOCK_COLUMNS] from (row, column) on; zeros outside of the matrix."""
    if TMA:
        tile = matrix.load([row, column])
    else:
        r = row + tl.arange(0, BLOCK_ROWS)
        c = column + tl.arange(0, BLOCK_COLUMNS)
        places = r.to(tl.int64)[:, None] * columns + c[None, :]
        inside = (r < rows)[:, None] & (c < columns)[None, :]
        tile = tl.load(matrix + places, mask=inside, other=0.0)
    return tile
