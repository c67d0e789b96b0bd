"""The mixture of experts against a loop over rows."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from palimpsest.kernels.experts import mixture_of_experts

TOLERANCE = 1e-5
"""fp32 over sums of at most 64 terms of order one."""


@dataclass(frozen=True, slots=True)
class Case:
    x: Tensor
    weights: Tensor
    experts: Tensor
    gate_up: Tensor
    down: Tensor

    def run(self, rows: slice | Tensor = slice(None), *, row_multiple: int = 1) -> Tensor:
        return mixture_of_experts(
            self.x[rows],
            weights=self.weights[rows],
            experts=self.experts[rows],
            gate_up=self.gate_up,
            down=self.down,
            row_multiple=row_multiple,
        )


def make(rows: int, experts: int = 8, chosen: int = 2, width: int = 32, inner: int = 16) -> Case:
    generator = torch.Generator().manual_seed(rows)
    scores = torch.rand(rows, experts, generator=generator)
    weights, ids = scores.topk(chosen)
    return Case(
        x=torch.randn(rows, width, generator=generator),
        weights=weights,
        experts=ids,
        gate_up=torch.randn(experts, 2 * inner, width, generator=generator) / width**0.5,
        down=torch.randn(experts, width, inner, generator=generator) / inner**0.5,
    )


def row_by_row(case: Case) -> Tensor:
    outputs = []
    for x, weights, experts in zip(case.x, case.weights, case.experts, strict=True):
        total = torch.zeros_like(x, dtype=torch.float64)
        for weight, expert in zip(weights, experts, strict=True):
            gate, up = (case.gate_up[expert].double() @ x.double()).chunk(2)
            gated = torch.nn.functional.gelu(gate, approximate="tanh") * up
            total += weight.double() * (case.down[expert].double() @ gated)
        outputs.append(total)
    return torch.stack(outputs).to(case.x.dtype)


@pytest.mark.parametrize("rows", [1, 2, 33])
@pytest.mark.parametrize("chosen", [1, 2, 8])
def test_it_is_the_weighted_sum_over_each_rows_experts(rows: int, chosen: int) -> None:
    case = make(rows, chosen=chosen)
    torch.testing.assert_close(case.run(), row_by_row(case), rtol=0, atol=TOLERANCE)


def test_the_order_in_which_a_row_names_its_experts_does_not_matter() -> None:
    case = make(20, chosen=4)
    turned = Case(case.x, case.weights.flip(1), case.experts.flip(1), case.gate_up, case.down)
    torch.testing.assert_close(case.run(), turned.run(), rtol=0, atol=TOLERANCE)


def test_experts_that_nobody_chose_take_no_part() -> None:
    case = make(10)
    case.experts.fill_(3)
    case.experts[:, 1] = 5
    before = case.run()
    idle = torch.tensor([0, 1, 2, 4, 6, 7])
    case.gate_up[idle] = float("nan")
    case.down[idle] = float("nan")
    assert torch.equal(case.run(), before)


def test_a_row_alone_is_the_row_in_company() -> None:
    case = make(33)
    together = case.run()
    alone = torch.cat([case.run(slice(i, i + 1)) for i in range(33)])
    # not bit for bit: a GEMM of one row may sum in another order than one of many
    torch.testing.assert_close(alone, together, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("row_multiple", [4, 64])
def test_filled_slices_give_what_others_give(row_multiple: int) -> None:
    case = make(33)
    filled = case.run(row_multiple=row_multiple)
    torch.testing.assert_close(filled, case.run(), rtol=0, atol=TOLERANCE)


def test_with_filled_slices_a_rows_bits_do_not_depend_on_its_company() -> None:
    case = make(33)
    together = case.run(row_multiple=4)
    for count in (1, 2, 5, 32):
        assert torch.equal(case.run(slice(0, count), row_multiple=4), together[:count]), count


def test_shuffling_the_rows_shuffles_the_result() -> None:
    case = make(33)
    order = torch.randperm(33, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(case.run(order), case.run()[order], rtol=0, atol=TOLERANCE)


def test_bf16_contributions_are_summed_in_fp32() -> None:
    case = make(16, chosen=8)
    half = Case(
        case.x.bfloat16(),
        case.weights,
        case.experts,
        case.gate_up.bfloat16(),
        case.down.bfloat16(),
    )
    output = half.run()
    assert output.dtype == torch.bfloat16
    # one rounding of the sum; three of an expert's values of order one, whose weights are below 8
    torch.testing.assert_close(output, row_by_row(half), rtol=2.0**-8, atol=8 * 3 * 2.0**-8)


def test_gradients_reach_every_expert_that_took_part() -> None:
    case = make(12)
    gate_up, down = case.gate_up.requires_grad_(), case.down.requires_grad_()
    case.run().square().sum().backward()
    assert gate_up.grad is not None
    assert down.grad is not None
    taken = set(case.experts.flatten().tolist())
    assert {i for i in range(8) if gate_up.grad[i].abs().sum() > 0} == taken
    assert {i for i in range(8) if down.grad[i].abs().sum() > 0} == taken
