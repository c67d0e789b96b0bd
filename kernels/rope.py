"""Rotary position embedding, half-split: the pair (i, i + D/2) is turned by angle_i.

Angles are position · inverse frequency in fp32; cosine and sine are cast to the activation dtype
before use (transformers, Gemma4TextRotaryEmbedding). Two kinds of inverse frequency exist, see the
functions.
"""

from __future__ import annotations

import torch

from palimpsest.kernels.shapes import Heads, InverseFrequencies, Positions, Rotation


def default_frequencies(head_dim: int, *, theta: float) -> InverseFrequencies:
    """theta^(-2i/D) for i < D/2: every pair rotates. Used by sliding-window layers."""
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim
    return 1.0 / theta**exponents


def proportional_frequencies(
    head_dim: int, *, theta: float, rotated_fraction: float, factor: float
) -> InverseFrequencies:
    """theta^(-2i/D) for the first rotated_fraction · D/2 pairs, 0 for the rest, all over `factor`.

    The denominator is the whole head size, not the rotated part. Used by full-attention layers.
    """
    rotating = int(rotated_fraction * head_dim // 2)
    frequencies = default_frequencies(head_dim, theta=theta) / factor
    frequencies[rotating:] = 0.0
    return frequencies


def rotation(
    positions: Positions, frequencies: InverseFrequencies, dtype: torch.dtype
) -> tuple[Rotation, Rotation]:
    """Cosine and sine for each row, [T, D] each."""
    angles = positions.float()[:, None] * frequencies
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(x: Heads, cosine: Rotation, sine: Rotation) -> Heads:
    """Turns each head of each row by that row's angles."""
    half = x.shape[-1] // 2
    turned = torch.cat((-x[..., half:], x[..., :half]), dim=-1)
    return x * cosine[:, None] + turned * sine[:, None]
