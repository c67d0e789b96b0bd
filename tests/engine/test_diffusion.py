"""One step of denoising: schedule, stop rule, and what a step leaves behind."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch
from pairs import Pair
from replay import ReplayedNoise, denoise_one
from torch import Tensor

from palimpsest.engine import tiles
from palimpsest.engine.diffusion import (
    CanvasState,
    StepFigures,
    denoise,
)
from palimpsest.engine.noise import CounterNoise, NoiseKey
from palimpsest.engine.sampling import Sampling
from palimpsest.engine.schedule import StopRule, TemperatureSchedule

LENGTH, VOCABULARY = 32, 512
SAMPLING = Sampling(max_output_tokens=LENGTH, seed=0)


def test_the_schedule_is_linear_in_the_steps_that_remain() -> None:
    schedule = TemperatureSchedule(maximum=0.8, minimum=0.4, steps=4)
    assert [schedule.at(step) for step in range(1, 5)] == pytest.approx([0.8, 0.7, 0.6, 0.5])


def test_one_step_runs_at_the_maximum() -> None:
    assert TemperatureSchedule(maximum=0.8, minimum=0.4, steps=1).at(1) == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("threshold", "unchanged", "met"),
    [(0, 0, True), (0, 5, True), (1, 0, False), (1, 1, True), (2, 1, False), (2, 2, True)],
)
def test_stable_means_unchanged_for_as_many_steps_as_the_threshold_says(
    threshold: int, unchanged: int, met: bool
) -> None:
    rule = StopRule(stability_threshold=threshold, confidence_threshold=0.005)
    assert rule.met(unchanged_steps=unchanged, mean_entropy=0.0) is met


def test_a_stable_canvas_goes_on_while_it_is_unsure() -> None:
    rule = StopRule(stability_threshold=1, confidence_threshold=0.005)
    assert not rule.met(unchanged_steps=1, mean_entropy=0.005)
    assert rule.met(unchanged_steps=1, mean_entropy=0.00499)


def sure(tokens: Tensor) -> Tensor:
    """Logits that are certain of `tokens`."""
    return 30.0 * torch.nn.functional.one_hot(tokens, VOCABULARY).float()


def unsure(seed: int = 0) -> Tensor:
    return torch.randn(LENGTH, VOCABULARY, generator=torch.Generator().manual_seed(seed))


def some_tokens(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, VOCABULARY, (LENGTH,), generator=generator)


def begin() -> CanvasState:
    return CanvasState(token_ids=some_tokens())


def step(calm: Pair, state: CanvasState, logits: Tensor, sampling: Sampling) -> StepFigures:
    source = CounterNoise(length=LENGTH, vocabulary_size=VOCABULARY, device=torch.device("cpu"))
    noise = source.step([NoiseKey(sampling.seed, 0, state.step + 1)], length=LENGTH)
    return denoise_one(state, logits, sampling=sampling, noise=noise, model=calm.model.network)


@pytest.mark.parametrize("threshold", [0, 1, 2])
def test_a_sure_canvas_converges_after_as_many_repetitions_as_asked(
    calm: Pair, threshold: int
) -> None:
    state, sampling = begin(), replace(SAMPLING, stability_threshold=threshold)
    for _ in range(threshold):
        assert not step(calm, state, sure(some_tokens(1)), sampling).done
    figures = step(calm, state, sure(some_tokens(1)), sampling)
    assert figures.converged
    assert figures.done
    assert torch.equal(draft(state), some_tokens(1))


def test_the_last_step_ends_a_canvas_that_has_not_converged(calm: Pair) -> None:
    state, sampling = begin(), replace(SAMPLING, max_denoising_steps=3)
    ends = [step(calm, state, unsure(i), sampling) for i in range(3)]
    assert [figures.done for figures in ends] == [False, False, True]
    assert not ends[-1].converged


def test_a_canvas_that_converges_at_its_last_step_has_converged(calm: Pair) -> None:
    state, sampling = begin(), replace(SAMPLING, max_denoising_steps=2)
    step(calm, state, sure(some_tokens(1)), sampling)
    assert step(calm, state, sure(some_tokens(1)), sampling).converged


def test_accepted_positions_take_the_draw_and_all_others_new_noise(calm: Pair) -> None:
    state = begin()
    noise = ReplayedNoise(LENGTH, VOCABULARY)
    torch.manual_seed(3)
    logits = unsure() * torch.linspace(1, 30, LENGTH)[:, None]
    figures = denoise_one(state, logits, sampling=SAMPLING, noise=noise, model=calm.model.network)
    torch.manual_seed(3)
    drawn = noise.draw((logits / figures.temperature).softmax(-1), slice(0, LENGTH))
    (fresh,) = noise.renoise()
    assert 0 < int(figures.accepted.sum()) < LENGTH
    assert torch.equal(state.token_ids, torch.where(figures.accepted, drawn, fresh))


@pytest.mark.parametrize("temperature", [0.0, 5e-324, 1e-38, 1e-30])
def test_temperature_zero_and_what_is_close_to_it_draw_the_most_likely_token(
    calm: Pair, temperature: float
) -> None:
    state = begin()
    sampling = replace(SAMPLING, temperature=temperature, entropy_bound=1e6)
    logits = unsure()
    assert step(calm, state, logits, sampling).accepted.all()
    assert torch.equal(state.token_ids, logits.argmax(-1))


def test_a_low_temperature_draws_as_temperature_zero_does(calm: Pair) -> None:
    state, sampling = begin(), replace(SAMPLING, temperature=1e-4, entropy_bound=1e6)
    step(calm, state, unsure(), sampling)
    assert torch.equal(state.token_ids, unsure().argmax(-1))


@pytest.mark.parametrize("temperature", [0.0, 0.5, 2.0])
def test_the_requests_temperature_bends_the_draw_alone(calm: Pair, temperature: float) -> None:
    plain, bent = begin(), begin()
    expected = step(calm, plain, unsure(), SAMPLING)
    figures = step(calm, bent, unsure(), replace(SAMPLING, temperature=temperature))
    assert torch.equal(figures.accepted, expected.accepted)
    assert figures.mean_entropy == expected.mean_entropy
    assert plain.soft_embedding is not None
    assert bent.soft_embedding is not None
    assert torch.equal(bent.soft_embedding, plain.soft_embedding)
    assert torch.equal(draft(bent), draft(plain))


def test_figures_tell_what_the_step_did(calm: Pair) -> None:
    state = begin()
    first = step(calm, state, unsure(), SAMPLING)
    assert first.temperature == pytest.approx(0.8)
    assert first.changed_count == LENGTH
    scaled = (unsure() / first.temperature).double().softmax(-1)
    torch.testing.assert_close(first.confidence.double(), scaled.amax(-1), rtol=1e-5, atol=0)
    entropy = torch.special.entr(scaled).sum(-1).mean()
    assert first.mean_entropy == pytest.approx(float(entropy), rel=1e-5)
    assert step(calm, state, unsure(), SAMPLING).changed_count == 0
    changed = unsure()
    changed[5, int(changed[5].argmax())] -= 100
    assert step(calm, state, changed, SAMPLING).changed_count == 1


def test_steps_that_change_nothing_are_counted_from_the_last_change(calm: Pair) -> None:
    state = begin()
    counts = []
    for seed in (0, 0, 0, 1, 1, 0):
        step(calm, state, unsure(seed), SAMPLING)
        counts.append(state.unchanged_steps)
    assert counts == [0, 1, 2, 0, 1, 0]


def draft(state: CanvasState) -> Tensor:
    assert state.draft is not None
    return state.draft


def test_canvases_denoised_together_are_denoised_as_they_are_alone(calm: Pair) -> None:
    """Each with its own step, settings and noise."""
    samplings = [
        SAMPLING,
        replace(SAMPLING, temperature=0.0, seed=1),
        replace(SAMPLING, temperature=0.7, entropy_bound=5.0, max_denoising_steps=7),
        replace(SAMPLING, temperature_max=0.5, stability_threshold=0),
    ]
    begun = [CanvasState(token_ids=some_tokens(i)) for i in range(4)]
    for i, state in enumerate(begun):
        for _ in range(i):
            step(calm, state, unsure(i), samplings[i])
    logits = torch.cat([unsure(9 + i) for i in range(4)])
    source = CounterNoise(length=LENGTH, vocabulary_size=VOCABULARY, device=torch.device("cpu"))
    keys = [NoiseKey(s.seed, 0, c.step + 1) for s, c in zip(samplings, begun, strict=True)]
    together, figures = denoise(
        begun,
        lambda rows: logits[rows],
        samplings=samplings,
        noise=source.step(keys, length=LENGTH),
        model=calm.model.network,
    )
    for i, state in enumerate(begun):
        alone = step(calm, state, unsure(9 + i), samplings[i])
        for name in ("token_ids", "soft_embedding", "draft", "unchanged_steps", "step"):
            assert same(getattr(together[i], name), getattr(state, name)), name
        for field in fields(StepFigures):
            assert same(getattr(figures[i], field.name), getattr(alone, field.name)), field.name


def same(one: object, other: object) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other)
    return one == other


def test_the_height_of_a_tile_changes_nothing(calm: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, tiled = begin(), begin()
    step(calm, whole, unsure(), SAMPLING)
    monkeypatch.setattr(tiles, "TILE_ELEMENTS", 16 * VOCABULARY)
    step(calm, tiled, unsure(), SAMPLING)
    assert torch.equal(draft(whole), draft(tiled))
    assert torch.equal(whole.token_ids, tiled.token_ids)
