"""RMS norm: x · (mean(x²) + ε)^(-1/2) · w in fp32, cast back to the dtype of x at the end.

The weight is a plain multiplier, without the "1 +" of earlier Gemma models (transformers,
Gemma4RMSNorm). Moves 2 · T · H elements; 4 · T · H FLOPs.
"""

from __future__ import annotations

import torch

from palimpsest.kernels.shapes import Hidden, NormWeight


def rms_norm(x: Hidden, weight: NormWeight | None, *, epsilon: float) -> Hidden:
    """Normalises the last axis of `x`; `weight` None means all ones."""
    scale = weight.float() if weight is not None else None
    return torch.nn.functional.rms_norm(x.float(), (x.shape[-1],), scale, epsilon).to(x.dtype)
