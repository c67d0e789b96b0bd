"""Randomness as a function of (seed, canvas index, step, purpose, position), and nothing else.

So one seed gives one text whatever else runs beside it, and a broken stream can be resumed at any
canvas. Another source can replay recorded draws.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from palimpsest.engine.shapes import Canvas, Canvases, Logits
from palimpsest.kernels.philox import philox
from palimpsest.kernels.sampling import draw

STEPS_AHEAD = 8
"""Steps whose words are made at once: most canvases need no more, and a call costs as much as for
one.
"""
BLOCKS_KEPT = 1024


@dataclass(frozen=True, slots=True)
class NoiseKey:
    """One denoising step of one canvas."""

    seed: int
    canvas_index: int
    step: int
    """Counts from 1; step 0 is what the canvas starts from."""


@runtime_checkable
class StepNoise(Protocol):
    """The random decisions of one step of B canvases, whose rows lie end to end."""

    def draw(self, probabilities: Logits, rows: slice) -> Canvas:
        """One token for each of the rows `rows` from its distribution. Called in order of rows."""
        ...

    def renoise(self) -> Canvases:
        """Uniform tokens for the positions that were not accepted. Called after all draws."""
        ...


@runtime_checkable
class Noise(Protocol):
    """Where randomness comes from."""

    def step(self, keys: Sequence[NoiseKey], *, length: int) -> StepNoise:
        """The decisions of these canvases, in their order, each of `length` tokens."""
        ...


@dataclass(frozen=True, slots=True)
class CounterStep:
    """Made by CounterNoise."""

    uniforms: Tensor
    """[B, C] in [0, 1)."""
    tokens: Canvases

    def draw(self, probabilities: Logits, rows: slice) -> Canvas:
        return draw(probabilities, self.uniforms.flatten()[rows])

    def renoise(self) -> Canvases:
        return self.tokens


class CounterNoise:
    """Philox words with counter (position, step, canvas index, 0) and the seed as key.

    The four words of a counter serve different purposes: the first draws, the second renoises.
    """

    def __init__(self, *, length: int, vocabulary_size: int, device: torch.device) -> None:
        self.length, self.vocabulary_size, self.device = length, vocabulary_size, device
        self._blocks: OrderedDict[NoiseKey, CounterStep] = OrderedDict()

    def step(self, keys: Sequence[NoiseKey], *, length: int) -> CounterStep:
        """One uniform and one token for every position of every canvas, whatever its length."""
        blocks = [_block_of(key) for key in keys]
        self._make([block for block in dict.fromkeys(blocks) if block not in self._blocks])
        made = [
            (self._blocks[block], key.step - block.step)
            for key, block in zip(keys, blocks, strict=True)
        ]
        return CounterStep(
            torch.stack([block.uniforms[row, :length] for block, row in made]),
            torch.stack([block.tokens[row, :length] for block, row in made]),
        )

    def _make(self, blocks: list[NoiseKey]) -> None:
        """All words of these blocks in one call; the oldest ones are forgotten."""
        if not blocks:
            return
        ahead = torch.arange(STEPS_AHEAD, device=self.device)
        counter = (
            torch.arange(self.length, device=self.device),
            self._column(block.step for block in blocks) + ahead[None, :, None],
            self._column(block.canvas_index for block in blocks),
            torch.zeros((), dtype=torch.int64, device=self.device),
        )
        low = self._column(block.seed & 0xFFFFFFFF for block in blocks)
        high = self._column(block.seed >> 32 for block in blocks)
        for_draw, for_noise, _, _ = philox(counter, (low, high))
        # 24 bits, so that fp32 holds every value and none rounds up to 1
        uniforms = (for_draw >> 8).float() * 2.0**-24
        tokens = (for_noise * self.vocabulary_size) >> 32
        made = map(CounterStep, uniforms.unbind(), tokens.unbind())
        self._blocks.update(zip(blocks, made, strict=True))
        while len(self._blocks) > max(BLOCKS_KEPT, len(blocks)):
            self._blocks.popitem(last=False)

    def _column(self, values: Iterable[int]) -> Tensor:
        return torch.tensor(list(values), device=self.device)[:, None, None]


def _block_of(key: NoiseKey) -> NoiseKey:
    return NoiseKey(key.seed, key.canvas_index, key.step - key.step % STEPS_AHEAD)
