"""Figures of what quantising costs, on networks and logits whose figures are known."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pairs import Pair
from replay import random_prompt

from palimpsest.engine.checkpoint import read_defaults
from palimpsest.engine.layers import Layer
from palimpsest.engine.model import DiffusionGemma
from palimpsest.engine.recovery.steps import Divergence, divergences
from palimpsest.engine.recovery.weights import weight_errors

PROMPTS = [random_prompt(20), random_prompt(9, seed=1)]
STEPS = 3


@pytest.fixture
def network(calm: Pair) -> DiffusionGemma:
    network = calm.model.network
    assert isinstance(network, DiffusionGemma)
    return network


def measure(folder: Path, base: DiffusionGemma, **others: DiffusionGemma) -> dict[str, Divergence]:
    sampling = replace(read_defaults(folder), max_denoising_steps=STEPS, confidence_threshold=1e-9)
    return divergences(base, others, PROMPTS, sampling)


def test_a_network_does_not_differ_from_itself(calm_folder: Path, network: DiffusionGemma) -> None:
    found = measure(calm_folder, network, same=network)["same"]
    assert found.positions == len(PROMPTS) * STEPS * network.config.canvas_length
    assert (found.logit_error, found.argmax_agreement, found.kl) == (0.0, 1.0, 0.0)


def test_coarser_weights_differ_more(calm_folder: Path, network: DiffusionGemma) -> None:
    found = measure(
        calm_folder, network, fine=rounded(network, 0.001), coarse=rounded(network, 0.1)
    )
    fine, coarse = found["fine"], found["coarse"]
    assert 0.0 < fine.logit_error < coarse.logit_error
    assert 0.0 < fine.kl < coarse.kl
    assert coarse.argmax_agreement < fine.argmax_agreement <= 1.0


def rounded(network: DiffusionGemma, error: float) -> DiffusionGemma:
    """With noise of this relative size in the experts."""
    torch.manual_seed(0)
    other = deepcopy(network)
    for layer in other.layers:
        assert isinstance(layer, Layer)
        for weight in layer.experts.parameters():
            weight.data *= 1.0 + error * torch.randn_like(weight)
    return other


def test_figures_of_logits_are_those_of_their_definitions() -> None:
    base = torch.tensor([[0.0, 2.0], [1.0, -1.0]])
    other = torch.tensor([[0.0, 2.0], [-1.0, 1.0]])
    found = Divergence()
    found.add(base, other, 2.0)
    # distances 0 and (-2, 2) from logits that lie one from their mean
    assert found.logit_error == pytest.approx((8 / 4) ** 0.5)
    assert found.argmax_agreement == 0.5
    # of the second row, at half the size: p log(p / q) with log(p / q) = ±1
    p = float(torch.tensor(1.0).sigmoid())
    assert found.kl == pytest.approx((p - (1 - p)) / 2, rel=1e-6)


def test_weights_of_every_format_are_as_near_as_its_codec_says(calm_folder: Path) -> None:
    errors = weight_errors(calm_folder, "calm", shapes=((256, 512), (512, 128)))
    gaussian = {format: of_kinds["Gaussian"] for format, of_kinds in errors.items()}
    said = {"fp8-dynamic": 0.0265, "nvfp4": 0.095, "w6a8": 0.0258, "w4a8": 0.102}
    assert gaussian == pytest.approx(said, rel=0.02)
    assert all(of_kinds["calm"] < 1.1 * said[format] for format, of_kinds in errors.items())
