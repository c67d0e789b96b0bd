"""The training objective: put uniform noise on a canvas, predict all of its clean tokens.

One noise level per example, t ~ U(0, 1], and t = 1 for a third of them, since generation always
starts there. Half of the others are clean up to a random position and noise from there on: long
answers settle from the left, and where they end must be read off what is written. Half of the
examples see the soft embedding of a first pass without gradient, at a random temperature of the
schedule, as in generation. Cross-entropy counts answer tokens fully and the filling after them by
the mixture's weight; the router's balance loss keeps experts in use (Fedus, Zoph, Shazeer: "Switch
Transformers", eq. 4).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from palimpsest.engine.layers import Router
from palimpsest.engine.model import DiffusionGemma, Rows
from palimpsest.engine.training.batches import Batch, BatchAttention, Example, collate

FULL_NOISE_SHARE = 0.35
TAIL_NOISE_SHARE = 0.5
SELF_CONDITIONED_SHARE = 0.5
BALANCE_WEIGHT = 0.01


@dataclass(frozen=True, slots=True)
class Loss:
    """What one micro-batch gives."""

    total: Tensor
    answer_cross_entropy: float
    exact_share: float
    """Of the examples at full noise: all answer tokens right in one step."""


def loss_of(
    model: DiffusionGemma,
    examples: list[Example],
    generator: torch.Generator,
    *,
    filling_weight: float,
) -> Loss:
    """Loss of one micro-batch; all randomness comes from `generator`.

    `filling_weight` is that of a position behind the answer's end, where an answer's token counts
    1.
    """
    batch = collate(examples)
    clean = batch.token_ids[batch.on_canvas].view_as(batch.answer)
    noisy, full = _corrupt(clean, batch.answer, model.config.vocabulary_size, generator)
    soft = _self_conditioning(model, examples, noisy, generator)
    with BalanceLoss(model) as balance:
        logits = _predict(model, batch, noisy, soft)
    errors = nn.functional.cross_entropy(
        logits.flatten(0, 1), clean.flatten(), reduction="none"
    ).view_as(clean)
    weights = torch.where(batch.answer, 1.0, filling_weight)
    total = (errors * weights).sum() / weights.sum() + BALANCE_WEIGHT * balance.mean()
    right = ((logits.argmax(-1) == clean) | ~batch.answer).all(-1)
    return Loss(total, errors[batch.answer].mean().item(), right[full].float().mean().item())


def _corrupt(
    clean: Tensor, answer: Tensor, vocabulary: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The noisy canvases and which of them are noise throughout."""
    count = len(clean)
    full = torch.rand(count, generator=generator) < FULL_NOISE_SHARE
    level = torch.rand(count, generator=generator).clamp(min=1e-3).masked_fill(full, 1.0)
    hit = torch.rand(clean.shape, generator=generator) < level[:, None]
    tail = torch.rand(count, generator=generator) < TAIL_NOISE_SHARE
    first = torch.rand(count, generator=generator) * answer.sum(dim=1)
    behind = torch.arange(clean.shape[1]) >= first[:, None]
    hit = torch.where((tail & ~full)[:, None], behind, hit)
    noise = torch.randint(0, vocabulary, clean.shape, generator=generator)
    return torch.where(hit, noise, clean), full


@torch.no_grad()
def _self_conditioning(
    model: DiffusionGemma, examples: list[Example], noisy: Tensor, generator: torch.Generator
) -> Tensor:
    """Soft embeddings [B, C, H]: of a first pass for the first examples, zero for the others."""
    count = round(len(examples) * SELF_CONDITIONED_SHARE)
    soft = torch.zeros(*noisy.shape, model.config.hidden_size)
    if count == 0:
        return soft
    logits = _predict(model, collate(examples[:count]), noisy[:count], None)
    temperature = 0.4 + 0.4 * torch.rand(count, 1, 1, generator=generator)
    expected = model.soften((logits / temperature).softmax(-1).flatten(0, 1))
    soft[:count] = expected.float().view_as(soft[:count])
    return soft


def _predict(model: DiffusionGemma, batch: Batch, noisy: Tensor, soft: Tensor | None) -> Tensor:
    """Logits [B, C, V] of the canvas rows."""
    rows = Rows(
        token_ids=batch.token_ids.masked_scatter(batch.on_canvas, noisy),
        positions=batch.positions,
        on_canvas=batch.on_canvas,
        soft_embedding=None if soft is None else soft.flatten(0, 1),
    )
    hidden = model(rows, BatchAttention(batch, model.config))
    return model.logits(hidden[batch.on_canvas]).view(*noisy.shape, -1)


class BalanceLoss:
    """Watches the routers of a model for the length of a `with` block."""

    def __init__(self, model: DiffusionGemma) -> None:
        self.model = model
        self.losses: list[Tensor] = []

    def __enter__(self) -> BalanceLoss:
        routers = [module for module in self.model.modules() if isinstance(module, Router)]
        self.hooks = [router.register_forward_hook(self._watch) for router in routers]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self.hooks:
            hook.remove()

    def mean(self) -> Tensor:
        return torch.stack(self.losses).mean()

    def _watch(self, _module: nn.Module, _inputs: object, output: tuple[Tensor, ...]) -> None:
        _, experts, probabilities = output
        count = probabilities.shape[-1]
        load = torch.bincount(experts.flatten(), minlength=count) / experts.numel()
        self.losses.append(count * (probabilities.mean(0) * load).sum())
