"""Denoising one canvas: schedule, draw, acceptance, renoising, self-conditioning and stop rule.

Follows transformers, models/diffusion_gemma/generation_diffusion_gemma.py, for a batch of one.
Knows nothing of sequences or caches: logits in, the next canvas out. Policies are small and pure;
`CanvasState` is what is kept between steps.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from palimpsest.engine.messages import Sampling
from palimpsest.engine.model import DiffusionGemma
from palimpsest.engine.noise import Noise
from palimpsest.engine.shapes import (
    Canvas,
    Logits,
    PerPosition,
    PositionMask,
    SoftEmbedding,
)
from palimpsest.kernels.sampling import accept, entropies


@dataclass(frozen=True, slots=True, kw_only=True)
class TemperatureSchedule:
    """Linear from the maximum at the first step towards the minimum, which is never reached."""

    maximum: float
    minimum: float
    steps: int

    def at(self, step: int) -> float:
        """Temperature of `step`, counted from 1, rounded to fp32 where the reference rounds."""
        remaining = torch.tensor(self.steps - step + 1, dtype=torch.int32) / self.steps
        return float(self.minimum + (self.maximum - self.minimum) * remaining)


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRule:
    """A canvas has converged when its argmax was stable and its mean entropy is low."""

    stability_threshold: int
    confidence_threshold: float

    def met(self, argmax: Canvas, history: list[Canvas], mean_entropy: float) -> bool:
        """`history` holds earlier argmax canvases, newest last; too short a one is not stable."""
        needed = self.stability_threshold
        recent = history[-needed:] if needed else []
        stable = len(recent) == needed and all(torch.equal(argmax, past) for past in recent)
        return stable and mean_entropy < self.confidence_threshold


@dataclass(slots=True)
class CanvasState:
    """A canvas between two steps."""

    token_ids: Canvas
    """What the network sees next: accepted draws among random tokens."""
    soft_embedding: SoftEmbedding | None = None
    argmax_history: list[Canvas] = field(default_factory=list)
    """The newest `max(stability_threshold, 1)` argmax canvases; the last one is the draft."""
    step: int = 0
    """Steps done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFigures:
    """What one denoising step did, for people and for tracing."""

    temperature: float
    accepted: PositionMask
    confidence: PerPosition
    """Probability of each argmax token."""
    changed_count: int
    mean_entropy: float
    """Nats per position."""
    done: bool
    """Converged, or out of steps."""
    converged: bool


def denoise(
    state: CanvasState, logits: Logits, *, sampling: Sampling, noise: Noise, model: DiffusionGemma
) -> StepFigures:
    """Moves `state` one step on, given the raw fp32 logits [C, V] of its canvas."""
    state.step += 1
    temperature = _schedule(sampling).at(state.step)
    scaled = logits / temperature
    probabilities, entropy = entropies(scaled)
    argmax = scaled.argmax(dim=-1)
    accepted = accept(entropy, entropy_bound=sampling.entropy_bound)
    drawn = _draw(scaled, probabilities, argmax, state.step, sampling, noise)
    state.token_ids = torch.where(accepted, drawn, noise.renoise(state.step))
    # from logits rounded to the weights' dtype, as the reference stores them
    kept = scaled.to(model.embed_tokens.weight.dtype)
    state.soft_embedding = model.soften(
        probabilities if kept.dtype == scaled.dtype else kept.softmax(dim=-1, dtype=torch.float32)
    )
    mean_entropy = entropy.mean().item()
    converged = _stop_rule(sampling).met(argmax, state.argmax_history, mean_entropy)
    figures = StepFigures(
        temperature=temperature,
        accepted=accepted,
        confidence=probabilities.gather(1, argmax[:, None])[:, 0],
        changed_count=_changed(argmax, state.argmax_history),
        mean_entropy=mean_entropy,
        done=converged or state.step == sampling.max_denoising_steps,
        converged=converged,
    )
    state.argmax_history = [*state.argmax_history, argmax][-max(1, sampling.stability_threshold) :]
    return figures


def _draw(
    scaled: Logits,
    probabilities: Logits,
    argmax: Canvas,
    step: int,
    sampling: Sampling,
    noise: Noise,
) -> Canvas:
    """The request's `temperature` bends the draw alone, not acceptance, stop rule or signal."""
    if sampling.temperature == 0.0:
        return argmax
    if sampling.temperature != 1.0:
        probabilities = (scaled / sampling.temperature).softmax(dim=-1)
    return noise.draw(probabilities, step)


def _changed(argmax: Canvas, history: list[Canvas]) -> int:
    return int((argmax != history[-1]).sum()) if history else len(argmax)


def _schedule(sampling: Sampling) -> TemperatureSchedule:
    return TemperatureSchedule(
        maximum=sampling.temperature_max,
        minimum=sampling.temperature_min,
        steps=sampling.max_denoising_steps,
    )


def _stop_rule(sampling: Sampling) -> StopRule:
    return StopRule(
        stability_threshold=sampling.stability_threshold,
        confidence_threshold=sampling.confidence_threshold,
    )
