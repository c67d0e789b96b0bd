"""RMS norm against its formula in double precision."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from palimpsest.kernels.norm import rms_norm

EPSILON = 1e-6
FP32_STEP, BF16_STEP = 2.0**-23, 2.0**-7


def formula(x: Tensor, weight: Tensor | None) -> Tensor:
    exact = x.double()
    scaled = exact * (exact.square().mean(-1, keepdim=True) + EPSILON).rsqrt()
    return scaled if weight is None else scaled * weight.double()


@pytest.mark.parametrize("width", [1, 7, 72, 192, 2816])
@pytest.mark.parametrize("weighted", [True, False])
def test_fp32_is_the_formula_to_a_few_roundings(width: int, weighted: bool) -> None:
    generator = torch.Generator().manual_seed(width)
    x = 30 * torch.randn(5, width, generator=generator)
    weight = torch.randn(width, generator=generator) if weighted else None
    # mean, root, two products: at most five roundings of one half step each, and the sum's own
    torch.testing.assert_close(
        rms_norm(x, weight, epsilon=EPSILON).double(),
        formula(x, weight),
        rtol=8 * FP32_STEP,
        atol=0,
    )


def test_bf16_is_rounded_once_at_the_end() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, 2816, generator=generator).bfloat16()
    weight = torch.randn(2816, generator=generator).bfloat16()
    output = rms_norm(x, weight, epsilon=EPSILON)
    assert output.dtype == torch.bfloat16
    # half a step of BF16, and what fp32 adds when it sits on the edge of two values
    torch.testing.assert_close(
        output.double(), formula(x, weight), rtol=BF16_STEP / 2 + 8 * FP32_STEP, atol=0
    )


def test_rows_of_zeros_stay_zero() -> None:
    assert rms_norm(torch.zeros(2, 8), torch.ones(8), epsilon=EPSILON).eq(0).all()


def test_epsilon_is_inside_the_root() -> None:
    tiny = torch.full((1, 4), 1e-3)
    # mean of squares equals epsilon, so the root doubles
    torch.testing.assert_close(
        rms_norm(tiny, None, epsilon=EPSILON), torch.full((1, 4), 0.5**0.5), rtol=1e-6, atol=0
    )


def test_only_the_last_axis_is_normalised() -> None:
    x = torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        rms_norm(x, None, epsilon=EPSILON)[2, 1],
        rms_norm(x[2, 1], None, epsilon=EPSILON),
        rtol=0,
        atol=0,
    )
