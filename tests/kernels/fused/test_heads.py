from __future__ import annotations

import pytest
import torch
from torch import Tensor

from palimpsest.kernels.fused.heads import (
    CacheSlots,
    HeadNorms,
    KeyValueRows,
    RotationTables,
    heads,
    heads_reference,
)
from palimpsest.kernels.rope import default_frequencies, proportional_frequencies, rotation

SLIDING = (16, 8, 256, False)
FULL = (16, 2, 512, True)
SHAPES = [SLIDING, FULL, (6, 3, 20, False), (6, 3, 20, True)]
"""Heads, groups, width, whether values are shared with keys: the released sizes, then odd ones."""
CACHE_ROWS = 7


class Case:
    """Random rows of a pass, and a cache full of NaN."""

    def __init__(self, shape: tuple[int, int, int, bool], dtype: torch.dtype, rows: int) -> None:
        self.num_heads, self.num_groups, width, shared = shape
        generator = torch.Generator().manual_seed(width)

        def random(*sizes: int) -> Tensor:
            return torch.randn(sizes, generator=generator).to(dtype)

        parts = self.num_heads + (1 if shared else 2) * self.num_groups
        self.projected = random(rows, parts * width)
        self.norms = HeadNorms(query=random(width), key=random(width), epsilon=1e-6)
        frequencies = (
            proportional_frequencies(width, theta=1e6, rotated_fraction=0.25, factor=1.0)
            if shared
            else default_frequencies(width, theta=1e4)
        )
        positions = torch.randint(0, 262144, (rows,), generator=generator)
        cosine, sine = rotation(positions, frequencies, dtype)
        self.tables = RotationTables(cosine=cosine, sine=sine)
        empty = torch.full((CACHE_ROWS, self.num_groups, width), torch.nan, dtype=dtype)
        # the last row stays nowhere
        order = torch.randperm(CACHE_ROWS, generator=generator)[:rows].int()
        order[-1] = -1
        self.stays = CacheSlots(cache=KeyValueRows(keys=empty, values=empty.clone()), slots=order)

    def run(self, kernel: bool, *, stays: CacheSlots | None) -> tuple[Tensor, KeyValueRows]:
        return (heads if kernel else heads_reference)(
            self.projected,
            self.norms,
            self.tables,
            num_heads=self.num_heads,
            num_groups=self.num_groups,
            stays=stays,
        )


def assert_close(made: Tensor, wanted: Tensor) -> None:
    if made.dtype == torch.float32:
        torch.testing.assert_close(made, wanted, rtol=1e-5, atol=1e-5)
    else:
        # the plain path rounds the two products of a rotation, each up to 8 here, before it adds
        torch.testing.assert_close(made, wanted, rtol=2e-3, atol=8e-3)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_heads_are_as_defined(shape: tuple[int, int, int, bool], dtype: torch.dtype) -> None:
    case, other = Case(shape, dtype, 4), Case(shape, dtype, 4)
    query, made = case.run(True, stays=case.stays)
    wanted_query, wanted = other.run(False, stays=other.stays)
    assert_close(query, wanted_query)
    assert_close(made.keys, wanted.keys)
    assert_close(made.values, wanted.values)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_rows_that_stay_and_no_others_are_written_to_their_slots(
    shape: tuple[int, int, int, bool],
) -> None:
    case = Case(shape, torch.float32, 4)
    _, made = case.run(True, stays=case.stays)
    slots = case.stays.slots[:-1].long()
    untouched = torch.ones(CACHE_ROWS, dtype=torch.bool)
    untouched[slots] = False
    for cache, rows in (
        (case.stays.cache.keys, made.keys),
        (case.stays.cache.values, made.values),
    ):
        assert torch.equal(cache[slots], rows[:-1])
        assert cache[untouched].isnan().all()


def test_rows_need_no_cache() -> None:
    case = Case(FULL, torch.float32, 2)
    _, made = case.run(True, stays=None)
    assert_close(made.keys, case.run(False, stays=None)[1].keys)


def test_a_row_alone_equals_the_row_in_company() -> None:
    case = Case(SLIDING, torch.float16, 4)
    query, made = case.run(True, stays=None)
    case.projected = case.projected[2:3]
    case.tables = RotationTables(cosine=case.tables.cosine[2:3], sine=case.tables.sine[2:3])
    one_query, one = case.run(True, stays=None)
    assert torch.equal(one_query, query[2:3])
    assert torch.equal(one.keys, made.keys[2:3])
    assert torch.equal(one.values, made.values[2:3])


def test_no_value_is_stored_as_nan_but_keys_and_queries_show_it() -> None:
    case = Case(FULL, torch.float32, 2)
    case.projected[0] = torch.nan
    query, made = case.run(True, stays=None)
    assert query[0].isnan().all()
    assert made.keys[0].isnan().all()
    assert (made.values[0] == 0).all()
    assert made.keys[1].isfinite().all()
