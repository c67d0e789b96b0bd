"""Randomness as a function of (seed, canvas index, step, purpose, position), and nothing else.

So one seed gives one text whatever else runs beside it, and a broken stream can be resumed at any
canvas. Another source with the same three methods can replay recorded draws.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch

from palimpsest.engine.shapes import Canvas, Logits
from palimpsest.kernels.philox import philox
from palimpsest.kernels.sampling import draw


@runtime_checkable
class Noise(Protocol):
    """The random decisions of one canvas."""

    def initial_canvas(self) -> Canvas:
        """Uniform tokens to start from."""
        ...

    def draw(self, probabilities: Logits, step: int) -> Canvas:
        """One token per position from its distribution. Steps count from 1."""
        ...

    def renoise(self, step: int) -> Canvas:
        """Uniform tokens for the positions that were not accepted."""
        ...


class CounterNoise:
    """Philox words with counter (position, step, canvas index, 0) and the seed as key.

    The four words of a counter serve different purposes: the first draws, the second renoises. Step
    0 is the initial canvas. All steps of a canvas are made at once, which costs less than one call
    per step.
    """

    def __init__(
        self,
        *,
        seed: int,
        canvas_index: int,
        length: int,
        vocabulary_size: int,
        steps: int,
        device: torch.device,
    ) -> None:
        zero = torch.zeros((), dtype=torch.int64, device=device)
        counter = (
            torch.arange(length, device=device)[None, :],
            torch.arange(steps + 1, device=device)[:, None],
            zero + canvas_index,
            zero,
        )
        for_draw, for_noise, _, _ = philox(counter, (seed & 0xFFFFFFFF, seed >> 32))
        # 24 bits, so that fp32 holds every value and none rounds up to 1
        self.uniforms = (for_draw >> 8).float() * 2.0**-24
        self.tokens = (for_noise * vocabulary_size) >> 32

    def initial_canvas(self) -> Canvas:
        return self.tokens[0]

    def draw(self, probabilities: Logits, step: int) -> Canvas:
        return draw(probabilities, self.uniforms[step])

    def renoise(self, step: int) -> Canvas:
        return self.tokens[step]
