"""The benchmark's cases, which a GPU runs at released sizes, small and in Triton's interpreter."""

from __future__ import annotations

import interpreted as interpreted
import pytest
import torch

from palimpsest.kernels.bench import check, measure
from palimpsest.kernels.cases import TINY, Case, Make, all_cases
from palimpsest.kernels.compare import disagreements
from palimpsest.kernels.fused.rounding import Rounded

CPU = torch.device("cpu")
CASES = {case.name: case for case in all_cases(TINY, itemsize=4)}


@pytest.mark.parametrize("name", CASES)
def test_every_case_agrees_with_its_definition(name: str) -> None:
    assert check(CASES[name], CPU, torch.float32) == []


@pytest.mark.parametrize("name", CASES)
def test_every_definition_stays_on_the_device_of_what_it_is_given(name: str) -> None:
    case = CASES[name]
    given = case.inputs(Make(CPU, torch.float32))
    if case.reference is not None:
        # whatever is made without a device lands on one that nothing can be computed with
        with torch.device("meta"):
            case.reference(given)


def test_float32_that_came_of_rounded_numbers_may_be_off_by_their_rounding() -> None:
    one = torch.ones(8)
    assert disagreements(one, one + 1e-3, computed_in=torch.float32)
    assert not disagreements(one, one + 1e-3, computed_in=torch.bfloat16)
    assert disagreements(one, one + 3e-2, computed_in=torch.bfloat16)


def test_a_kernel_that_is_wrong_is_told_and_not_timed() -> None:
    case = Case(
        name="wrong",
        inputs=lambda make: make.numbers(8, 8),
        run=lambda x: x + 0.1,
        reference=lambda x: x,
        bytes=1,
        flops=0,
    )
    result = measure(case, None, CPU, torch.float32)
    assert "relative error" in result.problems[0]
    assert result.microseconds is None


@pytest.mark.parametrize("quantised", [False, True])
def test_numbers_that_are_none_disagree(quantised: bool) -> None:
    x = torch.randn(4, 64, generator=torch.Generator().manual_seed(0))
    wanted = Rounded.of(x, quantised=quantised)
    broken = wanted.exact().clone()
    broken[0, 0] = float("nan")
    assert disagreements(Rounded.of(broken, quantised=quantised), wanted)
    assert not disagreements(wanted, wanted)


def test_few_integers_may_differ() -> None:
    one = torch.arange(1000)
    other = one.clone()
    other[:4] += 1
    assert not disagreements(one, other)
    other[:6] += 1
    assert disagreements(one, other) == ["output: 99.400% are equal"]
