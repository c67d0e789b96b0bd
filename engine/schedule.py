"""How a canvas cools from step to step, and when it has converged.

Follows transformers, models/diffusion_gemma/generation_diffusion_gemma.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from palimpsest.engine.sampling import Sampling


@dataclass(frozen=True, slots=True, kw_only=True)
class TemperatureSchedule:
    """Linear from the maximum at the first step towards the minimum, which is never reached."""

    maximum: float
    minimum: float
    steps: int

    @classmethod
    def of(cls, sampling: Sampling) -> TemperatureSchedule:
        return cls(
            maximum=sampling.temperature_max,
            minimum=sampling.temperature_min,
            steps=sampling.max_denoising_steps,
        )

    def at(self, step: int) -> float:
        """Temperature of `step`, counted from 1, rounded to fp32 where the reference rounds."""
        remaining = np.float32(self.steps - step + 1) / np.float32(self.steps)
        return float(np.float32(self.minimum) + np.float32(self.maximum - self.minimum) * remaining)


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRule:
    """A canvas has converged when its argmax was stable and its mean entropy is low."""

    stability_threshold: int
    confidence_threshold: float

    @classmethod
    def of(cls, sampling: Sampling) -> StopRule:
        return cls(
            stability_threshold=sampling.stability_threshold,
            confidence_threshold=sampling.confidence_threshold,
        )

    def met(self, *, unchanged_steps: int, mean_entropy: float) -> bool:
        """`unchanged_steps` in a row left the argmax as it was; the first step never does."""
        stable = unchanged_steps >= self.stability_threshold
        return stable and mean_entropy < self.confidence_threshold
