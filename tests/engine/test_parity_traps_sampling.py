"""The ten things that are easy to get wrong, in the sampling loop: one named test each (6 to 10).

Each shows that the engine does what the reference does, and that the wrong way would be seen.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from pairs import Pair
from reference import Reference, record
from replay import answer, denoise_one, random_prompt, replay, replayed_noise
from torch import Tensor
from transformers.models.diffusion_gemma.generation_diffusion_gemma import (
    EntropyBoundSampler,
    EntropyBoundSamplerConfig,
    LinearTemperatureScheduleLogitsProcessor,
    StableAndConfidentStoppingCriteria,
)

from palimpsest.engine.cache import SequenceCache
from palimpsest.engine.diffusion import CanvasState
from palimpsest.engine.loading import load
from palimpsest.engine.options import EngineOptions
from palimpsest.engine.sampling import Sampling
from palimpsest.engine.schedule import StopRule, TemperatureSchedule
from palimpsest.engine.segments import Segment, run_segments
from palimpsest.kernels.sampling import accept, entropies

HIGHEST, LOWEST = 0.8, 0.4


@pytest.mark.parametrize("steps", [1, 3, 12, 48])
def test_trap_06_temperature_falls_from_the_maximum_and_never_reaches_the_minimum(
    steps: int,
) -> None:
    schedule = TemperatureSchedule(maximum=HIGHEST, minimum=LOWEST, steps=steps)
    reference: Reference = LinearTemperatureScheduleLogitsProcessor(LOWEST, HIGHEST, steps)
    scores = torch.linspace(-30, 30, 101)[None]
    for step in range(1, steps + 1):
        remaining = torch.tensor(steps - step + 1, dtype=torch.int32)
        expected = reference(torch.zeros(1, 1, dtype=torch.int64), scores, cur_step=remaining)
        assert torch.equal(scores / schedule.at(step), expected)
    assert schedule.at(1) == pytest.approx(HIGHEST)
    assert schedule.at(steps) == pytest.approx(LOWEST + (HIGHEST - LOWEST) / steps)


def test_trap_07_the_result_is_the_argmax_of_the_last_step_not_the_renoised_canvas(
    calm: Pair,
) -> None:
    prompt = random_prompt(20)
    recording = record(
        calm.reference, prompt, seed=0, canvases=1, eos_token_id=None, max_denoising_steps=6
    )
    sampling = Sampling(max_output_tokens=32, seed=0, max_denoising_steps=6)
    result = answer(replay(calm.ending_at(), prompt, sampling, seed=0))
    last = recording.steps[-1]
    assert result == recording.tokens == last.argmax.tolist()
    assert result != last.next_canvas.tolist()


def test_trap_08_stopping_is_strict_and_accepting_is_not() -> None:
    # equal logits over two tokens: every entropy is the same fp32 number
    logits = torch.zeros(1, 4, 2)
    _, entropy = entropies(logits[0])
    level = float(entropy[0])
    assert level == float(entropy.mean()) == pytest.approx(math.log(2))
    canvas = torch.zeros(4, dtype=torch.int64)
    above = math.nextafter(level, math.inf) + 1e-6
    for threshold, stops in ((level, False), (above, True)):
        reference: Reference = StableAndConfidentStoppingCriteria(0, threshold)
        own = StopRule(stability_threshold=0, confidence_threshold=threshold)
        assert bool(reference(canvas[None], logits)) is stops
        assert own.met(unchanged_steps=0, mean_entropy=level) is stops
    for bound, accepted in ((level, 2), (level - 1e-6, 1)):
        assert _accepted_by_reference(logits, bound) == accepted
        assert int(accept(entropy, entropy_bound=torch.tensor(bound)).sum()) == accepted


def _accepted_by_reference(logits: Tensor, bound: float) -> int:
    sampler: Reference = EntropyBoundSampler(EntropyBoundSamplerConfig(bound), 4, 2, 48)
    canvas = torch.zeros(1, 4, dtype=torch.int64)
    sampler.accept_canvas(canvas, canvas, logits, cur_step=1)
    return int(sampler.accepted_token_mask.sum())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_trap_09_self_conditioning_takes_the_scaled_logits_in_the_dtype_of_the_weights(
    calm_folder: Path, dtype: str
) -> None:
    options = EngineOptions(model=str(calm_folder), device="cpu", dtype=dtype)
    model, _ = load(options, lambda done, total: None)
    raw = 30 * torch.rand(32, 512, generator=torch.Generator().manual_seed(0))
    sampling = Sampling(max_output_tokens=32, seed=0)
    state = CanvasState(token_ids=torch.zeros(32, dtype=torch.int64))
    figures = denoise_one(
        state, raw, sampling=sampling, noise=replayed_noise(model), model=model.network
    )
    soften, scaled = model.network.soften, raw / figures.temperature
    kept = scaled.to(model.dtype).softmax(-1, dtype=torch.float32)
    assert state.soft_embedding is not None
    assert torch.equal(state.soft_embedding, soften(kept))
    assert not torch.equal(state.soft_embedding, soften(raw.softmax(-1)))
    if dtype == "bfloat16":
        assert not torch.equal(state.soft_embedding, soften(scaled.softmax(-1)))


@torch.inference_mode()
def test_trap_10_the_static_cache_of_the_reference_is_no_oracle_beyond_the_window(
    calm: Pair,
) -> None:
    for length, static_is_right in ((calm.window - 4, True), (3 * calm.window, False)):
        prompt = random_prompt(length)
        dynamic, static = (
            record(
                calm.reference,
                prompt,
                seed=0,
                canvases=1,
                max_denoising_steps=1,
                cache_implementation=kind,
                disable_compile=True,
            ).steps[0]
            for kind in (None, "static")
        )
        own = _first_logits(calm, prompt, dynamic.canvas)
        torch.testing.assert_close(own, dynamic.raw, rtol=0, atol=1e-4)
        assert (float((own - static.raw).abs().max()) < 1e-4) is static_is_right


def _first_logits(pair: Pair, prompt: list[int], canvas: Tensor) -> Tensor:
    model = pair.model
    cache = SequenceCache(model.network.config, dtype=model.dtype, device=model.device)
    ids = torch.tensor(prompt)
    prefill = Segment(cache=cache, token_ids=ids, start=0, causal=True)
    step = Segment(cache=cache, token_ids=canvas, start=len(ids), causal=False)
    _, hidden = run_segments(model.network, [prefill, step])
    return model.network.logits(hidden)
