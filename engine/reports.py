"""What a step's draft looks like outside the engine: bytes instead of tensors."""

from __future__ import annotations

import math

import numpy as np
import torch

from palimpsest.engine.diffusion import CanvasState, StepFigures
from palimpsest.engine.events import Draft
from palimpsest.engine.shapes import PerRow


def draft_of(canvas: CanvasState, figures: StepFigures, vocabulary_size: int) -> Draft:
    """The argmax canvas after a step, and how sure each position was."""
    assert canvas.draft is not None, "a step was done"
    mask = np.packbits(figures.accepted.numpy(), bitorder="little")
    return Draft(
        token_ids=tuple(canvas.draft.tolist()),
        confidence=_bytes(figures.confidence),
        accepted_mask=mask.tobytes(),
        entropy=_bytes(figures.entropy / math.log(vocabulary_size)),
    )


def _bytes(shares: PerRow) -> bytes:
    """Numbers of 0 to 1, one byte each."""
    return (shares * 255).round().to(torch.uint8).numpy().tobytes()
