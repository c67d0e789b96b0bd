from __future__ import annotations

import pytest
import torch

from palimpsest.kernels.fused.lm_head import Summary
from palimpsest.kernels.fused.sampling import Reading, read_rows_reference
from palimpsest.kernels.fused.tile_plan import plan_tiles, plan_tiles_reference


def case(rows: int, tiles: int) -> tuple[Summary, Reading]:
    """Rows that need about half of their tiles of one token each."""
    generator = torch.Generator().manual_seed(rows + tiles)
    summary = Summary(
        weights=torch.ones(rows, tiles),
        maxima=20 * torch.rand(rows, tiles, generator=generator),
        sums=torch.ones(rows, tiles),
        moments=torch.zeros(rows, tiles),
        argmax=torch.arange(tiles, dtype=torch.int32).repeat(rows, 1),
    )
    return summary, read_rows_reference(summary, torch.zeros(rows), vocabulary_size=tiles)


@pytest.mark.parametrize(
    ("rows", "tiles", "splits"), [(1, 1, 6), (3, 9, 2), (130, 50, 6), (128, 1024, 6)]
)
@pytest.mark.parametrize("skip_below", [None, 0.0, 1e-3])
def test_tiles_are_planned_as_defined(
    rows: int, tiles: int, splits: int, skip_below: float | None
) -> None:
    summary, reading = case(rows, tiles)
    of = {"skip_below": skip_below, "rows": 128, "splits": splits}
    made = plan_tiles(summary, reading, **of)
    wanted = plan_tiles_reference(summary, reading, **of)
    # m and M are exact, and their difference is at most 20
    torch.testing.assert_close(made.factors, wanted.factors, rtol=1e-5, atol=0.0)
    assert torch.equal(made.counts, wanted.counts)
    for row_tile, of_splits in enumerate(wanted.counts.tolist()):
        for split, count in enumerate(of_splits):
            assert torch.equal(
                made.visits[row_tile, split, :count], wanted.visits[row_tile, split, :count]
            )


def test_what_no_row_needs_is_not_visited() -> None:
    summary, _ = case(4, 20)
    summary.maxima[:] = -100.0
    summary.maxima[:, 3], summary.maxima[0, 11] = 0.0, 0.0
    reading = read_rows_reference(summary, torch.zeros(4), vocabulary_size=20)
    plan = plan_tiles(summary, reading, skip_below=None, rows=128, splits=2)
    # groups of four go to the splits in turn
    assert plan.counts.tolist() == [[2, 0]]
    assert plan.visits[0, 0, :2].tolist() == [3, 11]
    assert (plan.factors > 0).sum(dim=0).tolist() == [2, 1, 1, 1]
