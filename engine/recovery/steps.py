"""How far the logits of other networks are from a base's, step by step on the base's own way.

The base denoises the first canvas of every answer; in each step the others are given the same
canvas and the same soft embedding, on a prompt that they have read themselves. So a difference is
of one step and does not grow; what becomes of answers is for `palimpsest eval --compare` to say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from palimpsest.engine.cache import SequenceCache
from palimpsest.engine.diffusion import CanvasState, denoise
from palimpsest.engine.model import DiffusionGemma
from palimpsest.engine.noise import CounterNoise, NoiseKey
from palimpsest.engine.sampling import Sampling
from palimpsest.engine.schedule import TemperatureSchedule
from palimpsest.engine.segments import Segment, run_segments
from palimpsest.engine.shapes import Logits, SoftEmbedding, TokenIds


@dataclass(slots=True)
class Divergence:
    """Sums over the positions of all steps."""

    positions: int = 0
    error: float = 0.0
    spread: float = 0.0
    agreeing: int = 0
    divergence: float = 0.0

    def add(self, base: Logits, other: Logits, temperature: float) -> None:
        """One step's logits [C, V]."""
        self.positions += len(base)
        self.error += float((other - base).double().square().sum())
        self.spread += float((base - base.mean(dim=-1, keepdim=True)).double().square().sum())
        self.agreeing += int((base.argmax(dim=-1) == other.argmax(dim=-1)).sum())
        of_base, of_other = (x.div(temperature).log_softmax(dim=-1) for x in (base, other))
        self.divergence += float((of_base.exp() * (of_base - of_other)).sum())

    @property
    def logit_error(self) -> float:
        """Root mean square, relative to how far a position's logits lie apart."""
        return math.sqrt(self.error / self.spread)

    @property
    def argmax_agreement(self) -> float:
        """Share of positions whose most likely token is the same."""
        return self.agreeing / self.positions

    @property
    def kl(self) -> float:
        """Nats of a position: KL(base, other) at the step's temperature."""
        return self.divergence / self.positions


class _Reader:
    """One network with one prompt in its cache."""

    def __init__(self, network: DiffusionGemma, prompt: TokenIds) -> None:
        weight = network.embed_tokens.weight
        self.network, self.start = network, len(prompt)
        self.cache = SequenceCache(network.config, dtype=weight.dtype, device=weight.device)
        whole = Segment(cache=self.cache, token_ids=prompt, start=0, causal=True)
        run_segments(network, [whole])

    def logits(self, canvas: TokenIds, soft_embedding: SoftEmbedding | None) -> Tensor:
        segment = Segment(
            cache=self.cache,
            token_ids=canvas,
            start=self.start,
            causal=False,
            soft_embedding=soft_embedding,
        )
        return self.network.logits(run_segments(self.network, [segment])[0])


@torch.inference_mode()
def divergences(
    base: DiffusionGemma,
    others: Mapping[str, DiffusionGemma],
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
) -> dict[str, Divergence]:
    """Of each of `others` over all `prompts`; prompt i is answered with seed i."""
    config, device = base.config, base.embed_tokens.weight.device
    noise = CounterNoise(
        length=config.canvas_length, vocabulary_size=config.vocabulary_size, device=device
    )
    found = {name: Divergence() for name in others}
    for seed, prompt in enumerate(prompts):
        ids = torch.tensor(prompt, device=device)
        leading = _Reader(base, ids)
        following = {name: _Reader(network, ids) for name, network in others.items()}
        _follow(leading, following, found, noise=noise, sampling=sampling, seed=seed)
    return found


def _follow(
    leading: _Reader,
    following: Mapping[str, _Reader],
    found: Mapping[str, Divergence],
    *,
    noise: CounterNoise,
    sampling: Sampling,
    seed: int,
) -> None:
    """One canvas, until the base has converged."""
    length, schedule = noise.length, TemperatureSchedule.of(sampling)
    state = CanvasState(noise.step([NoiseKey(seed, 0, 0)], length=length).renoise()[0])
    done = False
    while not done:
        step = state.step + 1
        logits = leading.logits(state.token_ids, state.soft_embedding)
        for name, reader in following.items():
            of_other = reader.logits(state.token_ids, state.soft_embedding)
            found[name].add(logits, of_other, schedule.at(step))
        (state,), (figures,) = denoise(
            [state],
            logits.__getitem__,
            samplings=[sampling],
            noise=noise.step([NoiseKey(seed, 0, step)], length=length),
            model=leading.network,
        )
        done = figures.done
