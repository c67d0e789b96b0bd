"""The training objective: see a canvas with noise, predict all of its clean tokens.

Half of the canvases have uniform noise and nothing else; the other half were taken one or two
steps further by the network itself, as generation would, so it learns to mend what it wrote.
Cross-entropy counts answer tokens fully and the filling after them by the example's weight; the
router's balance loss keeps experts in use (Fedus, Zoph, Shazeer: "Switch Transformers", eq. 4).
What the drawn pictures show is known part by part, and so are their soft tokens taught.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from palimpsest.engine.layers import Router
from palimpsest.engine.model import DiffusionGemma, PictureRows, Rows
from palimpsest.engine.training.attention import BatchAttention, attend_pictures
from palimpsest.engine.training.batches import Batch, Example, collate
from palimpsest.engine.training.states import NoisyCanvases, corrupt, denoise_once

STEPPED_SHARE = 0.5
"""Of the examples, those that are taken one step further."""
AGAIN_SHARE = 0.5
"""Of the micro-batches, those where they are taken a second one."""
BALANCE_WEIGHT = 0.01
SIGHT_WEIGHT = 0.5
EXPERT_ROW_MULTIPLE = 64
"""Few sizes of matrices, which the library compiles one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What one micro-batch gives."""

    total: Tensor
    answer_cross_entropy: float
    exact_share: float
    """Of the canvases that began as noise throughout: all answer tokens right."""
    tokens: int
    """Rows of the pass."""
    examples: int


def loss_of(model: DiffusionGemma, examples: list[Example], generator: torch.Generator) -> Loss:
    """Loss of one micro-batch; the model is on the device of `generator`, and all that is random
    comes from it.
    """
    batch = collate(examples, generator.device)
    clean = batch.token_ids[batch.on_canvas].view_as(batch.answer)
    state, full = corrupt(clean, batch.answer, model.config, generator)
    shown = look(model, batch)
    for count in _steps(len(examples), generator):
        _step(model, examples[:count], state, shown, generator)
    with BalanceLoss(model) as balance:
        logits = predict(model, batch, state, shown)
    errors = nn.functional.cross_entropy(
        logits.flatten(0, 1), clean.flatten(), reduction="none"
    ).view_as(clean)
    mean = (errors * batch.weights).sum() / batch.weights.sum()
    right = ((logits.argmax(-1) == clean) | ~batch.answer).all(-1)
    total = mean + BALANCE_WEIGHT * balance.mean()
    if shown is not None:
        total = total + SIGHT_WEIGHT * sight_loss(model, shown, batch)
    return Loss(
        total=total,
        answer_cross_entropy=errors[batch.answer].mean().item(),
        exact_share=right[full].float().mean().item(),
        tokens=len(batch.token_ids),
        examples=len(examples),
    )


def _steps(count: int, generator: torch.Generator) -> list[int]:
    """How many of `count` examples are taken a step on, for each step. Half an example is one by
    chance.
    """
    chances = torch.rand(2, generator=generator, device=generator.device).tolist()
    stepped = int(count * STEPPED_SHARE + chances[0])
    return [stepped, stepped] if chances[1] < AGAIN_SHARE else [stepped]


def look(model: DiffusionGemma, batch: Batch) -> Tensor | None:
    """Soft tokens of all pictures in their order."""
    pictures = [picture for pictures in batch.pictures for picture in pictures]
    if not pictures:
        return None
    assert model.vision is not None, "pictures are for networks that see"
    return model.vision(map(model.vision.patches, pictures), attend_pictures)


def sight_loss(model: DiffusionGemma, shown: Tensor, batch: Batch) -> Tensor:
    """Cross-entropy of what each part of the pictures shows, read off its soft token alone as if
    that were the embedding of a text token: so the text network can read it from the first.

    Parts that show a shape count as much together as the ground.
    """
    logits = shown.float() @ model.embed_tokens.weight.float().T
    errors = -logits.log_softmax(-1).gather(1, batch.sights).mean(1)
    # of a shape, the letters of colour and kind differ
    ground = batch.sights[:, 0] == batch.sights[:, 1]
    halves = [errors[half].mean() for half in (ground, ~ground) if half.any()]
    share = sum(map(bool, batch.pictures)) / len(batch.pictures)
    return share * torch.stack(halves).mean()


@torch.no_grad()
def _step(
    model: DiffusionGemma,
    examples: list[Example],
    state: NoisyCanvases,
    shown: Tensor | None,
    generator: torch.Generator,
) -> None:
    """Moves the first canvases of `state`, those of `examples`, one denoising step on."""
    if not examples:
        return
    batch = collate(examples, generator.device)
    first = state.first(len(batch.answer))
    logits = predict(model, batch, first, shown)
    first.replace(denoise_once(model, logits, generator))


def predict(
    model: DiffusionGemma, batch: Batch, state: NoisyCanvases, shown: Tensor | None
) -> Tensor:
    """Logits [K, C, V] of the canvas rows; `shown` may hold pictures of more examples."""
    rows = Rows(
        token_ids=batch.token_ids.masked_scatter(batch.on_canvas, state.token_ids),
        positions=batch.positions,
        on_canvas=batch.on_canvas,
        soft_embedding=state.soft_embedding.flatten(0, 1),
        pictures=None if shown is None else _picture_rows(batch, shown),
        expert_row_multiple=EXPERT_ROW_MULTIPLE,
    )
    hidden = model(rows, BatchAttention(batch, model.config))
    return model.logits(hidden[batch.on_canvas]).view(*state.token_ids.shape, -1)


def _picture_rows(batch: Batch, shown: Tensor) -> PictureRows:
    rows = torch.zeros_like(batch.on_canvas)
    begins = itertools.accumulate(batch.prefixes, initial=0)
    for begin, pictures in zip(begins, batch.pictures, strict=False):
        for picture in pictures:
            rows[begin + picture.start : begin + picture.end] = True
    return PictureRows(rows=rows, embeddings=shown[: int(rows.sum())])


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
