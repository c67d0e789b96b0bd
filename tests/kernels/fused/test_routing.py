from __future__ import annotations

import pytest
import torch

from palimpsest.kernels.fused.routing import Routed, routing, routing_reference


def random_case(
    rows: int, width: int, experts: int, dtype: torch.dtype = torch.float32
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(rows + width)
    x = torch.randn(rows, width, generator=generator)
    projection = torch.randn(experts, width, generator=generator) / width**0.5
    scale = 1 + torch.rand(experts, generator=generator)
    return x.to(dtype), projection.to(dtype), scale.to(dtype)


def route(case: tuple[torch.Tensor, ...], chosen: int, *, tma: bool | None = None) -> Routed:
    x, projection, scale = case
    return routing(
        x, projection=projection, per_expert_scale=scale, experts_per_row=chosen, tma=tma
    )


@pytest.mark.parametrize(
    ("width", "experts", "chosen"), [(130, 5, 3), (96, 16, 1), (96, 24, 8), (2816, 128, 8)]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("tma", [False, True])
def test_rows_are_routed_as_defined(
    width: int, experts: int, chosen: int, dtype: torch.dtype, tma: bool
) -> None:
    case = random_case(35, width, experts, dtype)
    made = route(case, chosen, tma=tma)
    x, projection, scale = case
    wanted = routing_reference(
        x, projection=projection, per_expert_scale=scale, experts_per_row=chosen
    )
    assert torch.equal(made.experts, wanted.experts)
    # scores of order one differ by a few roundings of fp32, or by one of fp16 where a sum in
    # another order ends on the other side of a rounding: a relative change of their exponential
    rtol = 1e-5 if dtype == torch.float32 else 2.0**-8
    torch.testing.assert_close(made.weights, wanted.weights, rtol=rtol, atol=0)


def test_of_equal_experts_the_first_are_chosen() -> None:
    x, projection, scale = random_case(3, 96, 16)
    projection[:] = projection[:1]
    made = route((x, projection, scale), 4)
    assert made.experts.tolist() == [[0, 1, 2, 3]] * 3
    torch.testing.assert_close(made.weights, (scale[:4] / 4).expand(3, 4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_experts_are_told_apart_whose_probabilities_are_zero(dtype: torch.dtype) -> None:
    x = torch.zeros(1, 96)
    x[0, 0] = 1
    projection = torch.full((16, 96), -2e3)
    projection[3], projection[11], projection[14] = -1e3, 0, 5
    case = x.to(dtype), projection.to(dtype), torch.ones(16)
    made = route(case, 4)
    assert made.experts.tolist() == [[14, 11, 3, 0]]
    assert made.weights[0, 2:].tolist() == [0, 0]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the interpreter's, of NaN
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_row_of_nan_names_distinct_experts_and_leaves_others_alone(dtype: torch.dtype) -> None:
    x, projection, scale = random_case(4, 96, 24, dtype)
    wanted = route((x, projection, scale), 8)
    x[1] = float("nan")
    made = route((x, projection, scale), 8)
    assert len(set(made.experts[1].tolist())) == 8
    assert made.experts.min() >= 0
    assert made.experts.max() < 24
    others = torch.tensor([0, 2, 3])
    assert torch.equal(made.weights[others], wanted.weights[others])
    assert torch.equal(made.experts[others], wanted.experts[others])


def test_a_row_alone_is_the_row_in_company() -> None:
    x, projection, scale = random_case(37, 130, 24)
    together = route((x, projection, scale), 8)
    for row in (0, 31, 32, 36):
        alone = route((x[row : row + 1], projection, scale), 8)
        assert torch.equal(alone.weights, together.weights[row : row + 1])
        assert torch.equal(alone.experts, together.experts[row : row + 1])
