"""Entropies, draws and acceptance against their definitions."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers.models.diffusion_gemma.generation_diffusion_gemma import (
    EntropyBoundSampler,
    EntropyBoundSamplerConfig,
)

from palimpsest.kernels.sampling import TILE, accept, draw, entropies

LAST = 1 - 2.0**-24
"""The largest uniform that the engine's noise makes."""
SIZES = [1, 2, TILE - 1, TILE, TILE + 1, 512, 700, 3 * TILE]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("vocabulary", SIZES)
def test_entropies_are_in_nats_per_position(vocabulary: int) -> None:
    logits = 5 * random(9, vocabulary)
    probabilities, entropy = entropies(logits)
    exact = logits.double().softmax(-1)
    torch.testing.assert_close(probabilities.double(), exact, rtol=1e-5, atol=1e-12)
    # -p log p, and 0 for p = 0, is what torch calls entr
    expected = torch.special.entr(exact).sum(-1)
    torch.testing.assert_close(entropy.double(), expected, rtol=1e-5, atol=1e-6)


def test_the_entropy_of_equal_logits_is_the_logarithm_of_their_number() -> None:
    _, entropy = entropies(torch.zeros(1, 512))
    assert float(entropy) == pytest.approx(math.log(512), rel=1e-6)


def test_one_certain_token_has_no_entropy() -> None:
    logits = torch.full((1, 300), -30.0)
    logits[0, 7] = 30.0
    _, entropy = entropies(logits)
    assert 0 <= float(entropy) < 1e-20


weights_with_zeros = st.lists(st.integers(0, 50), min_size=1, max_size=3 * TILE).filter(any)


@settings(deadline=None)
@given(weights_with_zeros, st.floats(0, LAST, width=32))
def test_a_draw_is_the_flat_inverse_of_the_distribution_function(
    weights: list[int], uniform: float
) -> None:
    token = int(draw(torch.tensor([weights], dtype=torch.float32), torch.tensor([uniform])))
    total, below = sum(weights), sum(weights[:token])
    assert weights[token] > 0
    # a few roundings in double precision at the borders between tokens
    assert below - 1e-9 * total <= uniform * total <= below + weights[token] + 1e-9 * total


@pytest.mark.parametrize("vocabulary", SIZES)
def test_the_middle_of_every_tokens_share_draws_that_token(vocabulary: int) -> None:
    generator = torch.Generator().manual_seed(vocabulary)
    weights = torch.randint(1, 9, (vocabulary,), generator=generator).float()
    sums = weights.double().cumsum(0)
    middles = ((sums - weights / 2) / sums[-1]).float()
    drawn = draw(weights.expand(vocabulary, -1), middles)
    assert drawn.tolist() == list(range(vocabulary))


@pytest.mark.parametrize("vocabulary", SIZES)
def test_the_ends_of_the_range_draw_the_first_and_the_last_token_with_weight(
    vocabulary: int,
) -> None:
    weights = torch.zeros(1, vocabulary)
    first, last = vocabulary // 3, vocabulary - 1 - vocabulary // 4
    weights[0, first : last + 1] = 1.0
    assert int(draw(weights, torch.tensor([0.0]))) == first
    assert int(draw(weights, torch.tensor([LAST]))) == last


def test_a_token_without_weight_is_never_drawn() -> None:
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(2000, 700, generator=generator)
    weights[torch.rand(weights.shape, generator=generator) < 0.9] = 0.0
    weights[:, 699] = 0.0
    weights[:, 350] = 1e-20
    uniforms = torch.rand(2000, generator=generator)
    uniforms[:3], uniforms[3:6] = 0.0, LAST
    drawn = draw(weights, uniforms)
    assert (weights.gather(1, drawn[:, None]) > 0).all()


def test_draws_follow_the_distribution() -> None:
    count, vocabulary = 40_000, 300
    generator = torch.Generator().manual_seed(1)
    probabilities = (2 * random(vocabulary, seed=2)).softmax(0)
    uniforms = torch.rand(count, generator=generator)
    drawn = draw(probabilities.expand(count, -1), uniforms)
    observed = torch.bincount(drawn, minlength=vocabulary).double()
    expected = probabilities.double() * count
    common = expected >= 5
    rare = (observed[~common].sum(), expected[~common].sum())
    chi_square = float(((observed - expected) ** 2 / expected)[common].sum())
    chi_square += float((rare[0] - rare[1]) ** 2 / rare[1])
    freedom = int(common.sum())
    # mean f and deviation √2f; six deviations
    assert abs(chi_square - freedom) < 6 * (2 * freedom) ** 0.5


def test_scaling_all_weights_changes_nothing() -> None:
    weights = torch.rand(50, 300, generator=torch.Generator().manual_seed(0))
    uniforms = torch.rand(50, generator=torch.Generator().manual_seed(1))
    assert torch.equal(draw(weights, uniforms), draw(weights / 1024, uniforms))


# sixty-fourths, so that no sum is rounded
sixty_fourths = st.integers(0, 320).map(lambda n: n / 64)


@settings(deadline=None)
@given(st.lists(sixty_fourths, min_size=1, max_size=40), sixty_fourths)
def test_positions_are_accepted_while_the_surer_ones_sum_to_at_most_the_bound(
    entropy: list[float], bound: float
) -> None:
    accepted = accept(torch.tensor(entropy), entropy_bound=torch.tensor(bound)).tolist()
    ordered = sorted(entropy)
    count = sum(sum(ordered[:i]) <= bound for i in range(len(ordered)))
    # between equals any may be taken
    assert sorted(e for e, taken in zip(entropy, accepted, strict=True) if taken) == ordered[:count]


def test_the_surest_position_is_accepted_whatever_the_bound() -> None:
    assert accept(torch.tensor([3.0, 2.0, 5.0]), entropy_bound=torch.tensor(0.0)).tolist() == [
        False,
        True,
        False,
    ]


def test_certain_positions_are_all_accepted() -> None:
    assert accept(torch.zeros(64), entropy_bound=torch.tensor(0.0)).all()


@pytest.mark.parametrize("bound", [0.01, 0.1, 1.0, 30.0])
def test_acceptance_is_that_of_the_reference(bound: float) -> None:
    sampler = EntropyBoundSampler(EntropyBoundSamplerConfig(bound), 64, 512, 48)
    for seed in range(20):
        logits = 40 * random(64, 1, seed=seed).abs() * random(64, 512, seed=seed + 100)
        canvas: Any = torch.zeros(1, 64, dtype=torch.int64)
        sampler.accept_canvas(canvas, canvas, logits[None], cur_step=1)
        _, entropy = entropies(logits)
        reference = sampler.accepted_token_mask
        assert reference is not None
        assert torch.equal(accept(entropy, entropy_bound=torch.tensor(bound)), reference[0])


def test_every_canvas_is_accepted_by_its_own_bound() -> None:
    entropy, bounds = random(5, 40).abs(), torch.tensor([0.0, 0.1, 1.0, 5.0, 100.0])
    together = accept(entropy, entropy_bound=bounds)
    for row, bound, taken in zip(entropy, bounds, together, strict=True):
        assert torch.equal(accept(row, entropy_bound=bound), taken)
