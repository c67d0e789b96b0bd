"""The two products of the experts, each and together, against their definitions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import pytest
import torch
from torch import Tensor

from palimpsest.kernels.experts import mixture_of_experts
from palimpsest.kernels.fused.expert_down import expert_down, expert_down_reference
from palimpsest.kernels.fused.expert_gate_up import expert_gate_up, expert_gate_up_reference
from palimpsest.kernels.fused.expert_rows import ExpertRows, expert_rows
from palimpsest.kernels.fused.expert_tiles import rows_of_a_tile
from palimpsest.kernels.fused.experts import ExpertMatrices, experts, experts_reference
from palimpsest.kernels.fused.rounding import Rounded

E4M3 = torch.float8_e4m3fn
STORED = [torch.float32, torch.float16, E4M3]
INNER_WIDTHS = [(96, 48), (130, 96), (2816, 96)]
"""Of rows and of experts: less than a tile, more than one, and sums as long as the model's."""
OUTPUT_WIDTHS = [(96, 48), (130, 96), (130, 704)]
TOLERANCES = {
    # sums of up to 2816 products of order one over the square root of their number
    torch.float32: (1e-5, 1e-5),
    # gate, up, gelu and their product may each be rounded to the other side: 4 steps of 2^-11
    torch.float16: (2e-3, 2e-3),
    # another last bit before rounding to e4m3 may end a step, an eighth, away
    E4M3: (0.126, 1e-3),
}
"""Relative and absolute, by what is stored."""


@dataclass(frozen=True)
class Case:
    x: Rounded
    weights: ExpertMatrices
    ids: Tensor
    alive: Tensor | None = None

    @property
    def per_row(self) -> int:
        return self.ids.shape[1]

    @cached_property
    def lists(self) -> ExpertRows:
        count = len(self.weights.down.values)
        return expert_rows(self.ids, alive=self.alive, num_experts=count)

    def gate_up(self, *, block_t: int | None = None, tma: bool | None = None) -> Rounded:
        return expert_gate_up(
            self.x,
            self.weights.gate_up,
            lists=self.lists,
            experts_per_row=self.per_row,
            block_t=block_t,
            tma=tma,
        )

    def down(
        self,
        a: Rounded,
        *,
        dtype: torch.dtype = torch.float32,
        block_t: int | None = None,
        tma: bool | None = None,
    ) -> Tensor:
        return expert_down(
            a, self.weights.down, lists=self.lists, dtype=dtype, block_t=block_t, tma=tma
        )

    def run(self) -> Tensor:
        return experts(
            self.x,
            self.weights,
            lists=self.lists,
            experts_per_row=self.per_row,
            dtype=torch.float32,
        )

    def of_rows(self, rows: Tensor) -> Case:
        scales = None if self.x.scales is None else self.x.scales[rows]
        return replace(self, x=Rounded(self.x.values[rows], scales), ids=self.ids[rows])


def make(
    rows: int, stored: torch.dtype, width: int = 96, inner: int = 96, *, count: int = 4
) -> Case:
    generator = torch.Generator().manual_seed(rows + width)

    def random(*shape: int, size: float = 1) -> Rounded:
        numbers = torch.randn(shape, generator=generator) * size
        quantised = stored == E4M3
        return Rounded.of(numbers if quantised else numbers.to(stored), quantised=quantised)

    ids = torch.rand(rows, count, generator=generator).topk(2).indices.int()
    both = ExpertMatrices(
        gate_up=random(count, 2 * inner, width, size=width**-0.5),
        down=random(count, width, inner, size=inner**-0.5),
    )
    return Case(random(rows, width), both, ids)


def assert_close(made: Tensor, wanted: Tensor, stored: torch.dtype) -> None:
    rtol, atol = TOLERANCES[stored]
    torch.testing.assert_close(made, wanted, rtol=rtol, atol=atol)


def equal(one: Rounded, other: Rounded) -> bool:
    return torch.equal(one.exact(), other.exact())


@pytest.mark.parametrize(("width", "inner"), INNER_WIDTHS)
@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("tma", [False, True])
def test_inner_rows_are_as_defined(width: int, inner: int, stored: torch.dtype, tma: bool) -> None:
    case = make(5, stored, width, inner, count=3)
    made = case.gate_up(tma=tma)
    wanted = expert_gate_up_reference(case.x, case.weights.gate_up, ids=case.ids)
    assert_close(made.exact(), wanted.exact(), stored)
    if made.scales is not None:
        assert wanted.scales is not None
        torch.testing.assert_close(made.scales, wanted.scales, rtol=1e-5, atol=0)


@pytest.mark.parametrize(("width", "inner"), OUTPUT_WIDTHS)
@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("tma", [False, True])
def test_outputs_are_as_defined(width: int, inner: int, stored: torch.dtype, tma: bool) -> None:
    case = make(5, stored, width, inner, count=3)
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(10, inner, generator=generator)
    grouped = Rounded.grouped(a if stored == E4M3 else a.to(stored), quantised=stored == E4M3)
    dtype = torch.float32 if stored == E4M3 else stored
    made = case.down(grouped, dtype=dtype, tma=tma)
    wanted = expert_down_reference(grouped, case.weights.down, ids=case.ids, dtype=dtype)
    # products of e4m3 numbers are exact in fp32, so only the order of sums differs
    assert_close(made, wanted, dtype)


@pytest.mark.parametrize("stored", [torch.float32, torch.float16])
def test_weighted_and_summed_it_is_the_plain_mixture(stored: torch.dtype) -> None:
    case = make(40, stored)
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(40, 2, generator=generator)
    y = case.down(case.gate_up(), dtype=stored).float().unflatten(0, (40, 2))
    mixed = (weights[..., None] * y).sum(1).to(stored)
    wanted = mixture_of_experts(
        case.x.values,
        weights=weights,
        experts=case.ids,
        gate_up=case.weights.gate_up.values,
        down=case.weights.down.values,
    )
    # two outputs and their sum, each rounded, and what the inner numbers' roundings make of them
    tolerance = 1e-5 if stored == torch.float32 else 4e-3
    torch.testing.assert_close(mixed, wanted, rtol=tolerance, atol=tolerance)


def test_in_e4m3_both_products_together_are_as_defined() -> None:
    case = make(40, E4M3)
    wanted = experts_reference(case.x, case.weights, ids=case.ids, dtype=torch.float32)
    # a few of 96 inner numbers may be an eighth away, each of them by less than 1 / sqrt(96)
    torch.testing.assert_close(case.run(), wanted, rtol=0, atol=0.05)


@pytest.mark.parametrize("stored", STORED)
def test_bits_do_not_depend_on_the_tile_of_rows_nor_on_how_weights_are_loaded(
    stored: torch.dtype,
) -> None:
    case = make(70, stored, count=2)
    inner = case.gate_up(block_t=32)
    y = case.down(inner, block_t=32)
    for block_t in (64, 128):
        assert equal(case.gate_up(block_t=block_t), inner)
        assert torch.equal(case.down(inner, block_t=block_t), y)
    assert equal(case.gate_up(block_t=32, tma=False), inner)
    assert torch.equal(case.down(inner, block_t=32, tma=False), y)


@pytest.mark.parametrize("stored", STORED)
def test_a_row_alone_is_the_row_in_company(stored: torch.dtype) -> None:
    case = make(70, stored)
    together = case.run().unflatten(0, (70, 2))
    for row in (0, 33, 69):
        alone = case.of_rows(torch.tensor([row])).run()
        assert torch.equal(alone, together[row])


def test_experts_without_rows_and_rows_that_are_not_alive_take_no_part() -> None:
    case = make(8, torch.float32)
    case.ids[:, 0], case.ids[:, 1] = 1, 3
    before = case.run().unflatten(0, (8, 2))
    for idle in (0, 2):
        case.weights.gate_up.values[idle] = float("nan")
        case.weights.down.values[idle] = float("nan")
    case.x.values[5] = float("nan")
    alive = torch.arange(8) != 5
    after = replace(case, alive=alive).run().unflatten(0, (8, 2))
    assert torch.equal(after[alive], before[alive])


def test_the_gate_neither_overflows_nor_cancels() -> None:
    case = make(4, torch.float32)
    loud = replace(case, x=Rounded(case.x.values * 1e3, None))
    wanted = expert_gate_up_reference(loud.x, loud.weights.gate_up, ids=loud.ids)
    # products of two numbers of up to a few thousand
    torch.testing.assert_close(loud.gate_up().values, wanted.values, rtol=1e-5, atol=10)


def test_wider_tiles_of_rows_serve_longer_passes() -> None:
    assert [rows_of_a_tile(rows) for rows in (1, 512, 513, 2048, 2049)] == [32, 32, 64, 64, 128]
