"""Training batches: rows of several examples laid end to end, and attention over them.

An example is a prompt, the clean canvases before a randomly chosen one (causal rows), and that
canvas with noise (canvas rows): one pass of the network is the prefill, the commits and the
denoising step at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random

import torch
from torch import Tensor

from palimpsest.engine.config import LayerConfig, ModelConfig
from palimpsest.engine.training import tokenizer
from palimpsest.engine.training.items import Item, assistant, draw
from palimpsest.engine.training.rendering import Renderer, completion
from palimpsest.engine.training.skills import SKILLS

HISTORY_SHARE = 0.1
SYSTEM_SHARE = 0.05
SYSTEMS = ("You are Palimpsest.", "Be brief.", "You are a helpful assistant.", "Answer exactly.")
IDLE_THINKING_SHARE = 0.05
"""Of the examples: thinking is on though there is nothing to think about; the thought is empty."""
ROW_MULTIPLE = 128
END_ID = 1
"""`<eos>`, which fills the last canvas after the end of the turn."""


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids before the canvas, the clean canvas, and how many of its tokens are not filling."""

    context: list[int]
    canvas: list[int]
    length: int


@dataclass(frozen=True, slots=True)
class Batch:
    """B examples over T rows; canvas rows of an example follow its causal rows."""

    token_ids: Tensor
    """[T] clean tokens."""
    positions: Tensor
    """[T]"""
    on_canvas: Tensor
    """[T]"""
    example: Tensor
    """[T] which example a row belongs to."""
    answer: Tensor
    """[B, C] True for positions up to and including the end token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """What a micro-batch is drawn from."""

    skills: Mapping[str, float]
    """Relative weight of each skill."""
    canvas_length: int
    filling_weight: float
    """Of the positions behind an answer, in the loss: where to stop is half of a long answer."""


class ExampleSource:
    """Draws examples: items of skills, in the surroundings that people put them in."""

    def __init__(self) -> None:
        self.tokenizer = tokenizer.build()
        self.renderer = Renderer()

    def draw(
        self, mixture: Mixture, *, count: int, random: Random, held_out: bool = False
    ) -> list[Example]:
        """`count` examples of randomly chosen skills, each at a random canvas of its answer."""
        skills = random.choices(list(mixture.skills), list(mixture.skills.values()), k=count)
        items = [draw(SKILLS[skill], random, held_out=held_out) for skill in skills]
        return [
            self._example(_surround(item, random), mixture.canvas_length, random) for item in items
        ]

    def encode(self, text: str) -> list[int]:
        """Token ids of text, special tokens recognised."""
        return self.tokenizer.encode(text).ids

    def _example(self, item: Item, length: int, random: Random) -> Example:
        prompt = self.encode(self.renderer.prompt(item))
        answer = self.encode(completion(item))
        canvases = -(-len(answer) // length)
        filled = answer + [END_ID] * (canvases * length - len(answer))
        start = random.randrange(canvases) * length
        canvas = filled[start : start + length]
        return Example(prompt + filled[:start], canvas, min(length, len(answer) - start))


def _surround(item: Item, random: Random) -> Item:
    """Sometimes there is a system message, an earlier turn, or a switch that changes nothing."""
    messages = item.messages
    if random.random() < HISTORY_SHARE:
        earlier = draw(SKILLS["reverse"], random, held_out=False)
        messages = (*earlier.messages, assistant(earlier.answer), *messages)
    if random.random() < SYSTEM_SHARE:
        messages = ({"role": "system", "content": random.choice(SYSTEMS)}, *messages)
    thinking = item.thinking or (not item.tools and random.random() < IDLE_THINKING_SHARE)
    return replace(item, messages=messages, thinking=thinking)


def collate(examples: list[Example], device: torch.device) -> Batch:
    """Lays examples end to end and fills up to a multiple of ROW_MULTIPLE with one that is never
    read.

    Few different row counts let the matrix library keep its compiled kernels.
    """
    ids = [example.context + example.canvas for example in examples]
    marks = [[False] * len(e.context) + [True] * len(e.canvas) for e in examples]
    filling = -sum(map(len, ids)) % ROW_MULTIPLE
    ids.append([0] * filling)
    marks.append([False] * filling)
    lengths = torch.tensor([example.length for example in examples])
    width = len(examples[0].canvas)
    tensors = {
        "token_ids": torch.tensor([token for row in ids for token in row]),
        "positions": torch.tensor([place for row in ids for place in range(len(row))]),
        "on_canvas": torch.tensor([mark for row in marks for mark in row]),
        "example": torch.tensor([i for i, row in enumerate(ids) for _ in row]),
        "answer": torch.arange(width)[None] < lengths[:, None],
    }
    return Batch(**{name: tensor.to(device) for name, tensor in tensors.items()})


class BatchAttention:
    """Attention of a batch of examples, padded to the longest, by plain matrix products.

    Plain products because the fused CPU kernel's backward pass is slow at small head sizes.
    """

    def __init__(self, batch: Batch, config: ModelConfig) -> None:
        counts = torch.bincount(batch.example, minlength=len(batch.answer))
        width = int(counts.max())
        starts = counts.cumsum(0) - counts
        column = torch.arange(len(batch.example), device=counts.device) - starts[batch.example]
        self.slots = batch.example * width + column
        self.shape = (len(counts), width)
        canvas = self._pad(batch.on_canvas)
        valid = self._pad(torch.ones_like(batch.on_canvas))
        self.masks = {
            layer.window: self._mask(canvas, valid, counts, layer) for layer in config.layers
        }

    def _pad(self, rows: Tensor) -> Tensor:
        flat = rows.new_zeros(self.shape[0] * self.shape[1], *rows.shape[1:])
        return flat.index_copy(0, self.slots, rows).view(*self.shape, *rows.shape[1:])

    def _mask(self, canvas: Tensor, valid: Tensor, counts: Tensor, layer: LayerConfig) -> Tensor:
        """Additive mask [B, 1, S, S]: causal rows look back, canvas rows at the prefix and the
        canvas.
        """
        place = torch.arange(canvas.shape[1], device=canvas.device)
        distance = place[:, None] - place[None, :]
        causal = (distance >= 0) & ~canvas[:, None, :]
        from_canvas = torch.ones_like(causal)
        if layer.window is not None and layer.canvas_window is not None:
            causal = causal & (distance < layer.window)
            prefix = counts - canvas.sum(dim=1)
            first = (prefix - (layer.window - 1)).clamp(min=0)
            from_canvas = from_canvas & (place[None, None, :] >= first[:, None, None])
        seen = torch.where(canvas[:, :, None], from_canvas, causal) & valid[:, None, :]
        # a padding row looks at itself, or its softmax would have nothing to sum over
        seen = seen | torch.eye(len(place), dtype=torch.bool, device=canvas.device)
        return torch.where(seen, 0.0, float("-inf"))[:, None]

    def __call__(self, layer: LayerConfig, *, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        share = query.shape[1] // key.shape[1]
        queries = self._pad(query).transpose(1, 2).unflatten(1, (-1, share))  # [B, G, n, S, D]
        keys, values = (self._pad(x).transpose(1, 2)[:, :, None] for x in (key, value))
        scores = queries @ keys.transpose(-1, -2)
        weights = (scores.float() + self.masks[layer.window][:, None]).softmax(-1)
        output = weights.to(values.dtype) @ values
        return output.flatten(1, 2).transpose(1, 2).flatten(0, 1)[self.slots]
