"""The experts' products with weights in 6 and 4 bits, against their definitions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import pytest
import torch
from torch import Tensor

from palimpsest.kernels.fused.expert_down import expert_down_reference
from palimpsest.kernels.fused.expert_down_low import expert_down_low
from palimpsest.kernels.fused.expert_gate_up import expert_gate_up_reference
from palimpsest.kernels.fused.expert_gate_up_low import expert_gate_up_low
from palimpsest.kernels.fused.expert_rows import ExpertRows, expert_rows
from palimpsest.kernels.fused.experts import ExpertMatrices, experts, experts_reference
from palimpsest.kernels.fused.rounding import Rounded
from palimpsest.kernels.lowbit import Bits, LowBit

WIDTHS = [(96, 48, False), (96, 48, True), (130, 192, True), (2816, 64, None), (130, 704, None)]
"""Of rows and of experts, and whether tiles are loaded by the copy engine: less than a unit, more
than one, and each of the released model's.
"""


@dataclass(frozen=True)
class Case:
    x: Rounded
    gate_up: LowBit
    down: LowBit
    ids: Tensor
    alive: Tensor | None = None

    @cached_property
    def lists(self) -> ExpertRows:
        return expert_rows(self.ids, alive=self.alive, num_experts=len(self.down.planes))

    def inner(self, *, block_t: int | None = None, tma: bool | None = None) -> Rounded:
        per_row = self.ids.shape[1]
        return expert_gate_up_low(
            self.x,
            self.gate_up,
            lists=self.lists,
            experts_per_row=per_row,
            block_t=block_t,
            tma=tma,
        )

    def outer(self, a: Rounded, *, tma: bool | None = None) -> Tensor:
        return expert_down_low(a, self.down, lists=self.lists, dtype=torch.float32, tma=tma)

    def run(self) -> Tensor:
        return experts(
            self.x,
            ExpertMatrices(gate_up=self.gate_up, down=self.down),
            lists=self.lists,
            experts_per_row=self.ids.shape[1],
            dtype=torch.float32,
        )

    def of_rows(self, rows: Tensor) -> Case:
        assert self.x.scales is not None
        x = Rounded(self.x.values[rows], self.x.scales[rows])
        return replace(self, x=x, ids=self.ids[rows])


def make(rows: int, bits: Bits, width: int = 96, inner: int = 96, *, count: int = 4) -> Case:
    generator = torch.Generator().manual_seed(rows + width)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    matrices = ExpertMatrices.of(
        random(count, 2 * inner, width) * width**-0.5,
        random(count, width, inner) * inner**-0.5,
        bits=bits,
    )
    assert isinstance(matrices.gate_up, LowBit)
    assert isinstance(matrices.down, LowBit)
    ids = torch.rand(rows, count, generator=generator).topk(2).indices.int()
    x = Rounded.of(random(rows, width), quantised=True)
    return Case(x, matrices.gate_up, matrices.down, ids)


both = pytest.mark.parametrize("bits", [4, 6])


@both
@pytest.mark.parametrize(("width", "inner", "tma"), WIDTHS)
def test_products_are_as_defined(bits: Bits, width: int, inner: int, tma: bool | None) -> None:
    case = make(3, bits, width, inner, count=2)
    made = case.inner(tma=tma)
    wanted = expert_gate_up_reference(case.x, case.gate_up, ids=case.ids)
    assert made.scales is not None
    assert wanted.scales is not None
    torch.testing.assert_close(made.scales, wanted.scales, rtol=1e-5, atol=0)
    # another last bit before rounding to e4m3 may end a step, an eighth, away
    torch.testing.assert_close(made.exact(), wanted.exact(), rtol=0.126, atol=1e-3)
    # products of e4m3 numbers are exact in fp32, so only the order of sums differs
    y = expert_down_reference(made, case.down, ids=case.ids, dtype=torch.float32)
    torch.testing.assert_close(case.outer(made, tma=tma), y, rtol=1e-5, atol=1e-5)


@both
def test_both_together_are_as_defined(bits: Bits) -> None:
    case = make(40, bits)
    matrices = ExpertMatrices(gate_up=case.gate_up, down=case.down)
    wanted = experts_reference(case.x, matrices, ids=case.ids, dtype=torch.float32)
    # a few of 96 inner numbers may be an eighth away, each of them by less than 1 / sqrt(96)
    torch.testing.assert_close(case.run(), wanted, rtol=0, atol=0.05)


@both
def test_bits_do_not_depend_on_the_tile_of_rows_nor_on_how_weights_are_loaded(bits: Bits) -> None:
    case = make(40, bits, count=2)
    inner = case.inner(block_t=32)
    for block_t, tma in ((64, True), (128, True), (32, False)):
        assert torch.equal(case.inner(block_t=block_t, tma=tma).exact(), inner.exact())
    # which is also 32 rows a tile against 16
    assert torch.equal(case.outer(inner, tma=True), case.outer(inner, tma=False))


@both
def test_a_row_alone_is_the_row_in_company(bits: Bits) -> None:
    case = make(40, bits)
    together = case.run().unflatten(0, (40, 2))
    for row in (0, 33):
        assert torch.equal(case.of_rows(torch.tensor([row])).run(), together[row])


@both
def test_experts_without_rows_and_rows_that_are_not_alive_take_no_part(bits: Bits) -> None:
    case = make(8, bits)
    case.ids[:, 0], case.ids[:, 1] = 1, 3
    before = case.run().unflatten(0, (8, 2))
    assert case.x.scales is not None
    for idle in (0, 2):
        case.gate_up.scales[idle] = float("nan")
        case.down.scales[idle] = float("nan")
    case.x.scales[5] = float("nan")
    alive = torch.arange(8) != 5
    after = replace(case, alive=alive).run().unflatten(0, (8, 2))
    assert torch.equal(after[alive], before[alive])
