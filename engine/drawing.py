"""What a step's tokens are drawn from: the schedule's distribution, bent and cut as each request
asks. Requests that ask for nothing pay nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from palimpsest.engine.sampling import Sampling
from palimpsest.engine.shapes import Canvas, Logits, PerRow

Draw = Callable[[Logits], Canvas]
"""One token per row from weights, which need not be normalised."""
LEAST_TEMPERATURE = 1e-30
"""What is below is as good as 0, and logits over it would not be finite."""


@dataclass(frozen=True, slots=True)
class DrawControls:
    """Of all canvases of a step, whose rows of `length` each lie end to end."""

    samplings: Sequence[Sampling]
    length: int
    device: torch.device

    def draw(
        self, rows: slice, *, scaled: Logits, probabilities: Logits, argmax: Canvas, draw: Draw
    ) -> Canvas:
        """Tokens of some rows, given their logits over the schedule's temperature, the softmax of
        those and its argmax.
        """
        canvases = range(rows.start // self.length, -(-rows.stop // self.length))
        own = [self.samplings[i] for i in canvases]
        if all(sampling.temperature == 1.0 and not _cuts(sampling) for sampling in own):
            return draw(probabilities)
        temperature = self._column([sampling.temperature for sampling in own], rows)
        greedy = temperature < LEAST_TEMPERATURE
        weights = (scaled / temperature.masked_fill(greedy, 1.0)[:, None]).softmax(dim=-1)
        if any(map(_cuts, own)):
            weights = cut(
                weights,
                # sums of all probabilities are rounded: no bound for 1
                top_p=self._column([math.inf if s.top_p == 1.0 else s.top_p for s in own], rows),
                top_k=self._column([s.top_k or math.inf for s in own], rows),
                min_p=self._column([s.min_p for s in own], rows),
            )
        return torch.where(greedy, argmax, draw(weights))

    def _column(self, values: list[float], rows: slice) -> PerRow:
        """Values of the canvases that `rows` touch, one for each of the rows."""
        skipped = rows.start % self.length
        spread = torch.tensor(values, dtype=torch.float32, device=self.device)
        spread = spread.repeat_interleave(self.length)
        return spread[skipped : skipped + rows.stop - rows.start]


def cut(weights: Logits, *, top_p: PerRow, top_k: PerRow, min_p: PerRow) -> Logits:
    """Zero for tokens outside the bounds of their row; the most probable one always stays.

    Nucleus: Holtzman et al. 2020; min-p: Nguyen et al. 2024. All bounds look at the same
    distribution, the one the temperature has bent.
    """
    ranked, order = weights.sort(dim=-1, descending=True, stable=True)
    more_probable = ranked.cumsum(dim=-1) - ranked
    rank = torch.arange(weights.shape[-1], device=weights.device)
    kept = (more_probable < top_p[:, None]) & (rank < top_k[:, None])
    kept &= ranked >= min_p[:, None] * ranked[:, :1]
    return torch.zeros_like(weights).scatter(1, order, ranked * kept)


def _cuts(sampling: Sampling) -> bool:
    return sampling.top_p < 1.0 or sampling.top_k is not None or sampling.min_p > 0.0
