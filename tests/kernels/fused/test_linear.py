from __future__ import annotations

import pytest
import torch

from palimpsest.kernels.fused.linear import (
    gated_linear,
    gated_linear_reference,
    linear,
    linear_reference,
)
from palimpsest.kernels.fused.rounding import Rounded

CLOSE = {torch.float32: {"rtol": 1e-4, "atol": 1e-4}, torch.float16: {"rtol": 2e-3, "atol": 2e-3}}
"""Sums in another order; half precision is rounded once more, at the end."""


def random(*shape: int, seed: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    numbers = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return (numbers * shape[-1] ** -0.25).to(dtype)


@pytest.mark.parametrize("tma", [True, False])
@pytest.mark.parametrize(("rows", "columns", "depth"), [(3, 48, 80), (70, 200, 96), (5, 64, 2816)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_products_are_as_defined(
    rows: int, columns: int, depth: int, dtype: torch.dtype, tma: bool
) -> None:
    x, weight = (
        random(rows, depth, seed=1, dtype=dtype),
        random(columns, depth, seed=2, dtype=dtype),
    )
    operands = Rounded(x, None), Rounded(weight, None)
    torch.testing.assert_close(
        linear(*operands, dtype=dtype, tma=tma),
        linear_reference(*operands, dtype=dtype),
        **CLOSE[dtype],
    )


@pytest.mark.parametrize("tma", [True, False])
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize(("rows", "columns", "depth"), [(3, 48, 80), (70, 200, 192)])
def test_products_of_eight_bit_numbers_are_exact_up_to_the_order_of_sums(
    rows: int, columns: int, depth: int, grouped: bool, tma: bool
) -> None:
    x = random(rows, depth, seed=1)
    rounded = Rounded.grouped(x, quantised=True) if grouped else Rounded.of(x, quantised=True)
    weight = Rounded.of(random(columns, depth, seed=2), quantised=True)
    torch.testing.assert_close(
        linear(rounded, weight, dtype=torch.float32, tma=tma),
        linear_reference(rounded, weight, dtype=torch.float32),
        **CLOSE[torch.float32],
    )


@pytest.mark.parametrize("tma", [True, False])
@pytest.mark.parametrize(("rows", "columns", "depth"), [(3, 48, 80), (70, 136, 96)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_gated_products_are_as_defined(
    rows: int, columns: int, depth: int, dtype: torch.dtype, tma: bool
) -> None:
    x = random(rows, depth, seed=1, dtype=dtype)
    weight = random(2 * columns, depth, seed=2, dtype=dtype)
    operands = Rounded(x, None), Rounded(weight, None)
    made = gated_linear(*operands, dtype=dtype, tma=tma)
    wanted = gated_linear_reference(*operands, dtype=dtype)
    torch.testing.assert_close(made.values, wanted.values, **CLOSE[dtype])


@pytest.mark.parametrize("tma", [True, False])
def test_gated_products_of_eight_bit_numbers_are_rounded_by_groups_of_columns(tma: bool) -> None:
    x = Rounded.of(random(70, 96, seed=1), quantised=True)
    weight = Rounded.of(random(2 * 136, 96, seed=2), quantised=True)
    made = gated_linear(x, weight, dtype=torch.float32, tma=tma)
    wanted = gated_linear_reference(x, weight, dtype=torch.float32)
    assert made.scales is not None
    assert wanted.scales is not None
    torch.testing.assert_close(made.scales, wanted.scales, rtol=1e-4, atol=1e-6)
    # another last bit before rounding to e4m3 may end a step, an eighth, away
    torch.testing.assert_close(made.exact(), wanted.exact(), rtol=0.126, atol=1e-3)


def test_a_row_has_the_same_bits_alone_and_in_company() -> None:
    x, weight = random(130, 96, seed=1), random(200, 96, seed=2)
    together = linear(Rounded(x, None), Rounded(weight, None), dtype=torch.float32)
    for row in (0, 64, 129):
        alone = linear(Rounded(x[row : row + 1], None), Rounded(weight, None), dtype=torch.float32)
        assert torch.equal(alone[0], together[row])
