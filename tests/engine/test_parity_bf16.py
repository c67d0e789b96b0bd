"""BF16, where kernels round differently: no further from fp32 than the reference is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pairs import Pair
from reference import Reference, load_reference, record
from replay import random_prompt, replayed_noise
from torch import Tensor

from palimpsest.engine.cache import SequenceCache
from palimpsest.engine.loaded_model import LoadedModel
from palimpsest.engine.loading import load
from palimpsest.engine.options import EngineOptions
from palimpsest.engine.segments import Segment, run_segments

LENGTHS = (10, 40, 100, 300)
FACTOR = 1.25
"""Errors are sums of many roundings: two ways of rounding agree in size, not in value. Medians,
because a few rows are sent to another expert and are far off in either.
"""


@pytest.fixture(scope="module")
def half_model(bundled_folder: Path) -> LoadedModel:
    options = EngineOptions(model=str(bundled_folder), device="cpu", dtype="bfloat16")
    return load(options, lambda done, total: None)[0]


@pytest.fixture(scope="module")
def half_reference(bundled_folder: Path) -> Reference:
    return load_reference(bundled_folder, torch.bfloat16)


def first_logits(reference: Reference, prompt: list[int]) -> Tensor:
    return record(reference, prompt, seed=0, canvases=1, max_denoising_steps=1).steps[0].raw


@torch.inference_mode()
def own_first_logits(model: LoadedModel, prompt: list[int]) -> Tensor:
    torch.manual_seed(0)
    (canvas,) = replayed_noise(model).renoise()
    cache = SequenceCache(model.network.config, dtype=model.dtype, device=model.device)
    ids = torch.tensor(prompt)
    prefill = Segment(cache=cache, token_ids=ids, start=0, causal=True)
    step = Segment(cache=cache, token_ids=canvas, start=len(ids), causal=False)
    _, hidden = run_segments(model.network, [prefill, step])
    return model.network.logits(hidden)


def test_bf16_is_no_further_from_fp32_than_the_reference_is(
    bundled: Pair, half_model: LoadedModel, half_reference: Reference
) -> None:
    own, others = 0.0, 0.0
    for length in LENGTHS:
        prompt = random_prompt(length)
        exact = first_logits(bundled.reference, prompt)
        own += float((own_first_logits(half_model, prompt) - exact).abs().median())
        others += float((first_logits(half_reference, prompt) - exact).abs().median())
    assert own <= FACTOR * others


def test_activations_are_bf16_and_logits_fp32(half_model: LoadedModel) -> None:
    assert half_model.dtype == torch.bfloat16
    assert own_first_logits(half_model, random_prompt(5)).dtype == torch.float32


def test_the_embedding_scale_is_rounded_to_bf16(half_model: LoadedModel) -> None:
    network = half_model.network
    one_token = torch.nn.functional.one_hot(torch.tensor([7]), 512).float()
    scale = torch.tensor(192**0.5).bfloat16()
    assert torch.equal(network.soften(one_token), network.embed_tokens.weight[7:8] * scale)
