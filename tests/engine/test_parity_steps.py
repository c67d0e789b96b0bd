"""Parity, second level: each step alone, on what the reference saw before it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
from pairs import Pair
from reference import RecordedStep, Recording, record
from replay import denoise_one, random_prompt, replayed_noise
from torch import Tensor

from palimpsest.engine.cache import SequenceCache
from palimpsest.engine.diffusion import CanvasState, StepFigures
from palimpsest.engine.sampling import Sampling
from palimpsest.engine.segments import Segment, run_segments

TOLERANCE = 1e-4
CANVASES = 3
STEPS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How the reference was run; the other values are the checkpoints' defaults."""

    seed: int
    prompt_length: float
    """In windows."""
    stability_threshold: int = 1
    confidence_threshold: float = 0.005


SETTINGS = [
    Setting(seed=0, prompt_length=0.5),
    Setting(seed=1, prompt_length=2.5, stability_threshold=2),
    # so unsure that the mean entropy decides and canvases end early
    Setting(seed=2, prompt_length=1.0, stability_threshold=0, confidence_threshold=3.0),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    pair: Pair
    sampling: Sampling
    recording: Recording


@pytest.fixture(scope="module", params=SETTINGS, ids=lambda setting: f"seed {setting.seed}")
def reference_run(pair: Pair, request: pytest.FixtureRequest) -> Run:
    setting: Setting = request.param
    recording = record(
        pair.reference,
        random_prompt(int(setting.prompt_length * pair.window), setting.seed),
        seed=setting.seed,
        canvases=CANVASES,
        eos_token_id=None,
        max_denoising_steps=STEPS,
        stability_threshold=setting.stability_threshold,
        confidence_threshold=setting.confidence_threshold,
    )
    sampling = Sampling(
        max_output_tokens=CANVASES * pair.canvas_length,
        seed=0,
        max_denoising_steps=STEPS,
        stability_threshold=setting.stability_threshold,
        confidence_threshold=setting.confidence_threshold,
    )
    return Run(pair=pair, sampling=sampling, recording=recording)


@torch.inference_mode()
def test_logits_are_the_references_when_each_step_sees_what_the_reference_saw(
    reference_run: Run,
) -> None:
    network, device = reference_run.pair.model.network, reference_run.pair.model.device
    cache = SequenceCache(network.config, dtype=torch.float32, device=device)
    pending, start = torch.tensor(reference_run.recording.prompt), 0
    for canvas in reference_run.recording.canvases:
        run_segments(network, [Segment(cache=cache, token_ids=pending, start=start, causal=True)])
        start += len(pending)
        for step in canvas:
            soft = step.conditioning
            segment = Segment(
                cache=cache,
                token_ids=step.canvas,
                start=start,
                causal=False,
                soft_embedding=None if soft is None else network.soften(soft.softmax(-1)),
            )
            (hidden,) = run_segments(network, [segment])
            torch.testing.assert_close(network.logits(hidden), step.raw, rtol=0, atol=TOLERANCE)
        pending = canvas[-1].argmax


def denoised(run: Run) -> Iterator[tuple[RecordedStep, CanvasState, StepFigures]]:
    """The engine's sampler on the reference's logits and draws, step by step."""
    noise, network = replayed_noise(run.pair.model), run.pair.model.network
    for canvas in run.recording.canvases:
        state = CanvasState(token_ids=canvas[0].canvas)
        for step in canvas:
            torch.set_rng_state(step.generator_state)
            figures = denoise_one(
                state, step.raw, sampling=run.sampling, noise=noise, model=network
            )
            yield step, state, figures


def test_the_sampler_makes_of_the_references_logits_what_the_reference_makes(
    reference_run: Run,
) -> None:
    network = reference_run.pair.model.network
    for step, state, figures in denoised(reference_run):
        assert torch.equal(_draft(state), step.argmax)
        assert torch.equal(state.token_ids, step.next_canvas)
        assert figures.converged == step.finished
        assert torch.equal(_soft(state), network.soften(step.kept.softmax(-1)))
        assert torch.equal(step.raw / figures.temperature, step.kept)


def test_a_canvas_ends_at_the_references_last_step(reference_run: Run) -> None:
    ends = [figures.done for _, _, figures in denoised(reference_run)]
    lengths = [len(canvas) for canvas in reference_run.recording.canvases]
    assert ends == [i == length - 1 for length in lengths for i in range(length)]


def _draft(state: CanvasState) -> Tensor:
    assert state.draft is not None
    return state.draft


def _soft(state: CanvasState) -> Tensor:
    assert state.soft_embedding is not None
    return state.soft_embedding
