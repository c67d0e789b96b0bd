"""Routing against its formula, row by row."""

from __future__ import annotations

import pytest
import torch

from palimpsest.kernels.routing import route


@pytest.mark.parametrize(("experts", "chosen"), [(8, 2), (128, 8), (4, 4), (3, 1)])
def test_weights_are_the_largest_probabilities_over_their_sum_times_the_experts_scale(
    experts: int, chosen: int
) -> None:
    generator = torch.Generator().manual_seed(experts)
    scores = torch.randn(9, experts, generator=generator)
    scale = 1 + torch.rand(experts, generator=generator)
    weights, ids, probabilities = route(scores, scale, experts_per_token=chosen)
    for row in range(9):
        p = scores[row].double().softmax(-1)
        best = sorted(range(experts), key=lambda e, p=p: -float(p[e]))[:chosen]
        assert ids[row].tolist() == best
        expected = p[best] / p[best].sum() * scale[best].double()
        torch.testing.assert_close(weights[row].double(), expected, rtol=1e-6, atol=0)
        torch.testing.assert_close(probabilities[row].double(), p, rtol=1e-6, atol=1e-9)


def test_the_scale_comes_after_renormalising() -> None:
    scores = torch.zeros(1, 4)
    weights, _, _ = route(scores, torch.full((4,), 3.0), experts_per_token=2)
    # renormalised last, the scale would cancel
    torch.testing.assert_close(weights, torch.tensor([[1.5, 1.5]]))


def test_the_scale_does_not_change_which_experts_are_chosen() -> None:
    scores = torch.tensor([[3.0, 2.0, 1.0, 0.0]])
    _, ids, _ = route(scores, torch.tensor([0.0, 0.0, 100.0, 100.0]), experts_per_token=2)
    assert ids.tolist() == [[0, 1]]


def test_weights_are_fp32_whatever_the_scores() -> None:
    weights, _, probabilities = route(
        torch.randn(2, 8).bfloat16(), torch.ones(8).bfloat16(), experts_per_token=2
    )
    assert weights.dtype == probabilities.dtype == torch.float32
