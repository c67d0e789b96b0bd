"""Eight-bit floats: each row of a matrix as e4m3 numbers times one fp32 scale.

scale = max|x| / 448, so the largest number of a row becomes e4m3's largest; values are rounded to
the nearest, ties to even. Serves weights (a row is an output channel) and activations (a row is a
token). One byte per element and four per row instead of two per element; the relative error of a
row is 2.6 % (root mean square, Gaussian values).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

Matrix = Float[Tensor, "*rows K"]
RowScales = Float[Tensor, "*rows"]
GroupScales = Float[Tensor, "*rows groups"]

LARGEST = 448.0
"""The largest e4m3 number."""
SMALLEST_SCALE = 1e-12
"""Of rows of zeros, which have no other."""


def quantise_rows(x: Matrix) -> tuple[Tensor, RowScales]:
    """`x` as e4m3 [*rows, K] and fp32 scales [*rows]."""
    scales = (x.float().abs().amax(dim=-1) / LARGEST).clamp_min(SMALLEST_SCALE)
    return (x.float() / scales[..., None]).to(torch.float8_e4m3fn), scales


def dequantise_rows(values: Tensor, scales: RowScales) -> Matrix:
    """What `quantise_rows` stands for, in fp32."""
    return values.float() * scales[..., None]


def quantise_groups(x: Matrix, group: int) -> tuple[Tensor, GroupScales]:
    """`x` as e4m3 [*rows, K] and fp32 scales [*rows, ⌈K / group⌉], one per `group` of a row."""
    width = x.shape[-1]
    filled = torch.nn.functional.pad(x, (0, -width % group))
    values, scales = quantise_rows(filled.unflatten(-1, (-1, group)))
    return values.flatten(-2)[..., :width].contiguous(), scales


def dequantise_groups(values: Tensor, scales: GroupScales, group: int) -> Matrix:
    """What `quantise_groups` stands for, in fp32."""
    return values.float() * scales.repeat_interleave(group, dim=-1)[..., : values.shape[-1]]
