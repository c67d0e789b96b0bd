from __future__ import annotations

import pytest
import torch

from palimpsest.kernels.fused.combine import Partials, combine, combine_reference
from palimpsest.kernels.fused.segment_table import TILE_ROWS, SegmentTable

ROWS = 3
"""Of the one segment, in the second of two tiles."""


def partials(heads: int, width: int, dtype: torch.dtype) -> Partials:
    """NaN where no row is live; the first share of the last row is without keys."""
    generator = torch.Generator().manual_seed(width)
    made = Partials.empty(torch.empty(2 * TILE_ROWS, heads, width, dtype=dtype), splits=4)
    live = slice(TILE_ROWS, TILE_ROWS + ROWS)
    for tensor, least in ((made.values, -2.0), (made.peaks, -9.0), (made.sums, 1.0)):
        tensor.fill_(torch.nan)
        numbers = torch.rand(tensor[:, live].shape, generator=generator)
        tensor[:, live] = (least + 4 * numbers).to(tensor.dtype)
    last = TILE_ROWS + ROWS - 1
    made.values[0, last], made.sums[0, last], made.peaks[0, last] = 0.0, 0.0, -1e38
    return made


def table() -> SegmentTable:
    zero, first, rows = (torch.tensor([n], dtype=torch.int32) for n in (0, TILE_ROWS, ROWS))
    return SegmentTable(
        tile_segment=torch.tensor([-1, 0], dtype=torch.int32),
        first_row=first,
        rows=rows,
        start=zero,
        kind=zero,
        page_offset=zero,
        pages=zero,
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(("heads", "width"), [(2, 16), (16, 256), (16, 512)])
def test_shares_add_up_as_defined_and_dead_rows_are_zeros(
    heads: int, width: int, dtype: torch.dtype
) -> None:
    shares = partials(heads, width, dtype)
    like = torch.empty(2 * TILE_ROWS, heads, width, dtype=dtype)
    made = combine(shares, like, table(), quantised=False).values
    wanted = combine_reference(shares, like, table(), quantised=False).values
    # fp16 rounds the result alone
    close = 1e-5 if dtype == torch.float32 else 1e-3
    torch.testing.assert_close(made, wanted, rtol=close, atol=close)
    assert (wanted[:TILE_ROWS] == 0).all()


def test_shares_add_up_as_defined_before_they_are_rounded() -> None:
    shares = partials(16, 256, torch.float16)
    like = torch.empty(2 * TILE_ROWS, 16, 256, dtype=torch.float16)
    made = combine(shares, like, table(), quantised=True)
    wanted = combine_reference(shares, like, table(), quantised=True)
    # the reference rounds to fp16 before it rounds to e4m3, which may end a step, an eighth, away
    torch.testing.assert_close(made.exact(), wanted.exact(), rtol=0.126, atol=1e-2)
    assert made.scales is not None
    assert made.scales.isfinite().all()
