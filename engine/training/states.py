"""The canvas states that the network is trained on.

`corrupt` makes them of clean canvases by noise; `denoise_once` moves them on as generation would.
Training on the network's own states lets it see and mend its errors, and keeps it honest about
how sure it is at later steps (Savinov et al., "Step-unrolled Denoising Autoencoders for Text
Generation").
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from palimpsest.engine.config import ModelConfig
from palimpsest.engine.model import DiffusionGemma
from palimpsest.kernels.sampling import accept, draw, entropies

FULL_NOISE_SHARE = 0.35
TAIL_NOISE_SHARE = 0.5
ENTROPY_BOUND = 0.1
TEMPERATURES = (0.4, 0.8)


@dataclass(frozen=True, slots=True)
class NoisyCanvases:
    """What B canvases look like between two steps, and what the network was told about them."""

    token_ids: Tensor
    """[B, C]"""
    soft_embedding: Tensor
    """[B, C, H] fp32, zero before the first step."""

    def first(self, count: int) -> NoisyCanvases:
        """A view of the first `count` canvases."""
        return NoisyCanvases(self.token_ids[:count], self.soft_embedding[:count])

    def replace(self, other: NoisyCanvases) -> None:
        """Overwrites these canvases, in place."""
        self.token_ids.copy_(other.token_ids)
        self.soft_embedding.copy_(other.soft_embedding)


def corrupt(
    clean: Tensor, answer: Tensor, config: ModelConfig, generator: torch.Generator
) -> tuple[NoisyCanvases, Tensor]:
    """Clean canvases [B, C] with noise, and which of them are noise throughout [B].

    One noise level per canvas, t ~ U(0, 1], and t = 1 for a third of them, since generation always
    starts there. Half of the others are clean up to a random position of the answer [B, C] and
    noise from there on: long answers settle from the left, and where they end must be read off
    what is written.
    """
    count, device = len(clean), clean.device
    rand = functools.partial(torch.rand, generator=generator, device=device)
    full = rand(count) < FULL_NOISE_SHARE
    level = rand(count).clamp(min=1e-3).masked_fill(full, 1.0)
    hit = rand(clean.shape) < level[:, None]
    tail = rand(count) < TAIL_NOISE_SHARE
    first = rand(count) * answer.sum(dim=1)
    behind = torch.arange(clean.shape[1], device=device) >= first[:, None]
    hit = torch.where((tail & ~full)[:, None], behind, hit)
    noise = _random_tokens(clean, config.vocabulary_size, generator)
    soft = torch.zeros(*clean.shape, config.hidden_size, device=device)
    return NoisyCanvases(torch.where(hit, noise, clean), soft), full


def denoise_once(
    model: DiffusionGemma, logits: Tensor, generator: torch.Generator
) -> NoisyCanvases:
    """The states after a step that gave `logits` [B, C, V], each at a temperature of the
    schedule.
    """
    count, length, vocabulary = logits.shape
    low, high = TEMPERATURES
    rand = functools.partial(torch.rand, generator=generator, device=logits.device)
    temperature = low + (high - low) * rand(count, 1, 1)
    probabilities, entropy = entropies((logits / temperature).flatten(0, 1))
    drawn = draw(probabilities, rand(count * length)).view(count, length)
    bounds = entropy.new_full((count,), ENTROPY_BOUND)
    accepted = accept(entropy.view(count, length), entropy_bound=bounds)
    noise = _random_tokens(drawn, vocabulary, generator)
    soft = model.soften(probabilities).float().view(count, length, -1)
    return NoisyCanvases(torch.where(accepted, drawn, noise), soft)


def _random_tokens(like: Tensor, vocabulary: int, generator: torch.Generator) -> Tensor:
    return torch.randint(0, vocabulary, like.shape, generator=generator, device=like.device)
