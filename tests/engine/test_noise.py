"""Counter-based noise: a function of seed, canvas, step, purpose and position, and no more."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from palimpsest.engine import noise as noise_module
from palimpsest.engine.noise import CounterNoise, CounterStep, NoiseKey
from palimpsest.engine.sampling import MAX_SEED

LENGTH, VOCABULARY, STEPS = 64, 512, 8
CPU = torch.device("cpu")


@dataclass(frozen=True)
class OneCanvas:
    """The noise of one canvas, by step."""

    source: CounterNoise
    seed: int
    canvas_index: int

    def step(self, step: int) -> CounterStep:
        return self.source.step(
            [NoiseKey(self.seed, self.canvas_index, step)], length=self.source.length
        )

    def draw(self, probabilities: Tensor, step: int) -> Tensor:
        return self.step(step).draw(probabilities, slice(0, len(probabilities)))

    def renoise(self, step: int) -> Tensor:
        return self.step(step).renoise()[0]


def make(
    seed: int = 1, canvas_index: int = 0, *, length: int = LENGTH, vocabulary: int = VOCABULARY
) -> OneCanvas:
    source = CounterNoise(length=length, vocabulary_size=vocabulary, device=CPU)
    return OneCanvas(source, seed, canvas_index)


def flat(length: int = LENGTH, vocabulary: int = VOCABULARY) -> Tensor:
    return torch.full((length, vocabulary), 1 / vocabulary)


def everything(noise: OneCanvas, steps: int = STEPS) -> list[list[int]]:
    drawn = [noise.draw(flat(), step) for step in range(1, steps + 1)]
    renoised = [noise.renoise(step) for step in range(steps + 1)]
    return [tokens.tolist() for tokens in (*drawn, *renoised)]


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, MAX_SEED), canvas_index=st.integers(0, 10_000))
def test_the_same_key_gives_the_same_tokens(seed: int, canvas_index: int) -> None:
    assert everything(make(seed, canvas_index)) == everything(make(seed, canvas_index))


def test_every_canvas_step_and_purpose_has_tokens_of_its_own() -> None:
    tokens = everything(make()) + everything(make(canvas_index=1)) + everything(make(seed=2))
    assert len({tuple(row) for row in tokens}) == len(tokens)


@pytest.mark.parametrize("bit", [0, 31, 32, 63])
def test_every_bit_of_the_seed_counts(bit: int) -> None:
    assert everything(make(5)) != everything(make(5 ^ (1 << bit)))


def test_canvases_asked_for_together_get_what_each_gets_alone() -> None:
    keys = [
        NoiseKey(seed, index, step) for seed in (1, 2**63) for index in (0, 5) for step in (0, 9)
    ]
    together = CounterNoise(length=LENGTH, vocabulary_size=VOCABULARY, device=CPU).step(
        keys, length=LENGTH
    )
    for row, key in enumerate(keys):
        alone = make(key.seed, key.canvas_index).step(key.step)
        assert torch.equal(together.tokens[row], alone.tokens[0])
        assert torch.equal(together.uniforms[row], alone.uniforms[0])


def test_what_was_forgotten_is_made_again_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = make()
    before = everything(noise)
    monkeypatch.setattr(noise_module, "BLOCKS_KEPT", 2)
    for index in range(5):
        noise.source.step([NoiseKey(7, index, 1)], length=noise.source.length)
    assert len(noise.source._blocks) == 2
    assert everything(noise) == before


def test_a_position_does_not_depend_on_the_length_of_the_canvas() -> None:
    short, long = make(length=10), make(length=LENGTH)
    assert torch.equal(short.renoise(3), long.renoise(3)[:10])
    assert torch.equal(short.draw(flat(10), 3), long.draw(flat(), 3)[:10])


def test_the_order_of_asking_does_not_matter() -> None:
    forwards, backwards = make(), make()
    first = [forwards.renoise(step) for step in range(1, STEPS + 1)]
    last = [backwards.renoise(step) for step in range(STEPS, 0, -1)]
    assert all(torch.equal(a, b) for a, b in zip(first, reversed(last), strict=True))


@pytest.mark.parametrize("vocabulary", [1, 3, 512, 262_144])
def test_uniform_tokens_stay_inside_the_vocabulary(vocabulary: int) -> None:
    noise = make(length=500, vocabulary=vocabulary)
    tokens = torch.cat([noise.renoise(step) for step in range(STEPS + 1)])
    assert int(tokens.min()) >= 0
    assert int(tokens.max()) < vocabulary


def test_uniform_tokens_are_uniform() -> None:
    tokens = make(length=50_000).renoise(1)
    observed = torch.bincount(tokens, minlength=VOCABULARY).double()
    expected = len(tokens) / VOCABULARY
    chi_square = float(((observed - expected) ** 2 / expected).sum())
    # mean 511 and deviation √1022; six deviations
    assert abs(chi_square - (VOCABULARY - 1)) < 6 * (2 * (VOCABULARY - 1)) ** 0.5


def test_draws_follow_the_given_distribution() -> None:
    weights = torch.tensor([0.5, 0.0, 0.25, 0.25])
    drawn = make(length=50_000).draw(weights.expand(50_000, -1), 1)
    shares = torch.bincount(drawn, minlength=4) / len(drawn)
    # six deviations of a share of one half
    torch.testing.assert_close(shares, weights, rtol=0, atol=6 * 0.5 / 50_000**0.5)


def test_uniforms_never_reach_one() -> None:
    assert float(make(length=100_000).step(1).uniforms.max()) <= 1 - 2**-24
