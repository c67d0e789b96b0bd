"""Denoising canvases: draw, acceptance, renoising, self-conditioning.

Follows transformers, models/diffusion_gemma/generation_diffusion_gemma.py, for any number of
canvases at once, each with its own settings and at its own step. Knows nothing of sequences or
caches: logits in, the next canvases out. Rows go through the sampler in tiles, so its memory does
not grow with the number of canvases; `CanvasState` is all that is kept between steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from palimpsest.engine.drawing import DrawControls
from palimpsest.engine.events import TokenLogprobs
from palimpsest.engine.model import DiffusionGemma
from palimpsest.engine.noise import StepNoise
from palimpsest.engine.sampling import Sampling
from palimpsest.engine.schedule import StopRule, TemperatureSchedule
from palimpsest.engine.shapes import (
    Canvas,
    Canvases,
    Logits,
    PerPosition,
    PositionMask,
    SoftEmbedding,
)
from palimpsest.engine.tiles import LogitsOf, tiles
from palimpsest.kernels.sampling import accept, entropies


@dataclass(slots=True)
class CanvasState:
    """A canvas between two steps: about C · H elements of the weights' dtype."""

    token_ids: Canvas
    """What the network sees next: accepted draws among random tokens."""
    soft_embedding: SoftEmbedding | None = None
    draft: Canvas | None = None
    """The argmax canvas of the last step."""
    unchanged_steps: int = 0
    """Steps in a row whose argmax was the one before."""
    step: int = 0
    """Steps done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFigures:
    """What one denoising step did to a canvas, for people and for tracing."""

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
    entropy: PerPosition
    """Nats."""
    logprobs: tuple[TokenLogprobs, ...] = ()
    """Of the argmax tokens of a canvas that is done, if they were asked for."""
    scores: tuple[float, ...] = ()
    """Of the labels of a canvas that is done, if it has any; see scoring.py."""


def denoise(
    canvases: Sequence[CanvasState],
    logits_of: LogitsOf,
    *,
    samplings: Sequence[Sampling],
    noise: StepNoise,
    model: DiffusionGemma,
) -> tuple[list[CanvasState], list[StepFigures]]:
    """B canvases of one length, each one step on, and what the step did. Those that were given
    stay as they are, so a step that fails can be done again.
    """
    steps = [canvas.step + 1 for canvas in canvases]
    temperatures = [
        TemperatureSchedule.of(s).at(step) for s, step in zip(samplings, steps, strict=True)
    ]
    reading = _read(logits_of, temperatures, samplings, noise, model, len(canvases[0].token_ids))
    bounds = reading.entropy.new_tensor([sampling.entropy_bound for sampling in samplings])
    accepted = accept(reading.entropy, entropy_bound=bounds)
    token_ids = torch.where(accepted, reading.drawn, noise.renoise())
    changed = _changed(canvases, reading.argmax).tolist()
    moved = [
        CanvasState(
            token_ids=token_ids[i],
            soft_embedding=reading.soft[i],
            draft=reading.argmax[i],
            unchanged_steps=0 if changed[i] else canvas.unchanged_steps + 1,
            step=steps[i],
        )
        for i, canvas in enumerate(canvases)
    ]
    figures = _figures(moved, samplings, temperatures, reading, accepted, changed)
    for i, count in enumerate(sampling.logprobs for sampling in samplings):
        if count is not None and figures[i].done:
            tokens, vocabulary = reading.argmax[i], model.config.vocabulary_size
            told = _logprobs(logits_of, i, tokens, count, vocabulary)
            figures[i] = replace(figures[i], logprobs=told)
    return moved, figures


@dataclass(frozen=True, slots=True)
class _Reading:
    """What is read off the logits, [B, C] each."""

    argmax: Canvases
    entropy: PerPosition
    confidence: PerPosition
    drawn: Canvases
    soft: Tensor
    """[B, C, H]"""


def _read(
    logits_of: LogitsOf,
    temperatures: Sequence[float],
    samplings: Sequence[Sampling],
    noise: StepNoise,
    model: DiffusionGemma,
    length: int,
) -> _Reading:
    """Runs the rows through the sampler, tile by tile."""
    device = model.embed_tokens.weight.device
    of_step = torch.tensor(temperatures, device=device).repeat_interleave(length)[:, None]
    controls = DrawControls(samplings, length, device)
    parts = [
        _read_tile(logits_of(rows) / of_step[rows], rows, controls, noise, model)
        for rows in tiles(len(of_step), model.config.vocabulary_size)
    ]
    joined = (torch.cat(part).unflatten(0, (-1, length)) for part in zip(*parts, strict=True))
    return _Reading(*joined)


def _read_tile(
    scaled: Logits, rows: slice, controls: DrawControls, noise: StepNoise, model: DiffusionGemma
) -> tuple[Tensor, ...]:
    """Of rows of logits over the schedule's temperature: the parts of a _Reading."""
    probabilities, entropy = entropies(scaled)
    argmax = scaled.argmax(dim=-1)
    confidence = probabilities.gather(1, argmax[:, None])[:, 0]
    drawn = controls.draw(
        rows,
        scaled=scaled,
        probabilities=probabilities,
        argmax=argmax,
        draw=lambda weights: noise.draw(weights, rows),
    )
    # from logits rounded to the weights' dtype, as the reference stores them
    kept = scaled.to(model.embed_tokens.weight.dtype)
    told = probabilities if kept.dtype == scaled.dtype else kept.softmax(-1, dtype=torch.float32)
    return argmax, entropy, confidence, drawn, model.soften(told)


def _figures(
    canvases: Sequence[CanvasState],
    samplings: Sequence[Sampling],
    temperatures: Sequence[float],
    reading: _Reading,
    accepted: PositionMask,
    changed: Sequence[int],
) -> list[StepFigures]:
    mean_entropy = reading.entropy.mean(dim=-1).tolist()
    masks, confidence, entropy = accepted.cpu(), reading.confidence.cpu(), reading.entropy.cpu()
    figures = []
    for i, (canvas, sampling) in enumerate(zip(canvases, samplings, strict=True)):
        converged = StopRule.of(sampling).met(
            unchanged_steps=canvas.unchanged_steps, mean_entropy=mean_entropy[i]
        )
        figures.append(
            StepFigures(
                temperature=temperatures[i],
                accepted=masks[i],
                confidence=confidence[i],
                changed_count=changed[i],
                mean_entropy=mean_entropy[i],
                done=converged or canvas.step >= sampling.max_denoising_steps,
                converged=converged,
                entropy=entropy[i],
            )
        )
    return figures


def _logprobs(
    logits_of: LogitsOf, index: int, tokens: Canvas, count: int, vocabulary: int
) -> tuple[TokenLogprobs, ...]:
    """Of the tokens of the canvas at `index` in the step, whose logits are computed once more."""
    told: list[TokenLogprobs] = []
    first = index * len(tokens)
    for rows in tiles(len(tokens), vocabulary):
        logits = logits_of(slice(first + rows.start, first + rows.stop))
        logprobs = logits.log_softmax(dim=-1)
        chosen = logprobs.gather(1, tokens[rows, None])[:, 0].tolist()
        top, ids = logprobs.topk(count, dim=-1)
        ranked = map(zip, ids.tolist(), top.tolist())
        told += map(TokenLogprobs, chosen, map(tuple, ranked))
    return tuple(told)


def _changed(canvases: Sequence[CanvasState], argmax: Canvases) -> Tensor:
    """[B] positions whose argmax differs from the step before; all of them at the first step."""
    # no token is negative
    drafts = [torch.full_like(argmax[0], -1) if c.draft is None else c.draft for c in canvases]
    return (argmax != torch.stack(drafts)).sum(dim=-1)
