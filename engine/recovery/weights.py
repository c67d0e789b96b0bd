"""What each format makes of experts: relative errors of weights that are Gaussian or Laplace
numbers, and of a checkpoint's own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from palimpsest.engine.config import read_config
from palimpsest.engine.quantised.scheme import Codec
from palimpsest.engine.quantiser.formats import FORMATS, Format
from palimpsest.engine.quantiser.source import Source

Coded = Iterable[tuple[Codec, Tensor]]
"""Matrices, each with what it is written by."""
SHAPES = ((1408, 2816), (2816, 704))
"""Of the random matrices: gate and up projection of a released expert, and its down projection."""
RANDOM = {
    "Gaussian": torch.distributions.Normal(0.0, 1.0),
    "Laplace": torch.distributions.Laplace(0.0, 1.0),
}


def weight_errors(
    folder: Path, name: str, *, shapes: tuple[tuple[int, int], tuple[int, int]] = SHAPES
) -> dict[str, dict[str, float]]:
    """Root mean square errors relative to that of the weights, by format and by where the weights
    come from: random ones of these `shapes`, and the checkpoint in `folder`, which is called
    `name`.
    """
    torch.manual_seed(0)
    random = {kind: [of.sample(shape) for shape in shapes] for kind, of in RANDOM.items()}
    errors: dict[str, dict[str, float]] = {}
    for format, made in FORMATS.items():
        down = made.codecs["experts"]
        codecs = made.gate_up or down, down
        errors[format] = {
            kind: _error(zip(codecs, matrices, strict=True)) for kind, matrices in random.items()
        }
        errors[format][name] = _error(_experts(folder, made, *codecs))
    return errors


def _experts(folder: Path, format: Format, gate_up: Codec, down: Codec) -> Coded:
    with Source(folder, read_config(folder), joined=format.joined) as source:
        for linear in source.places:
            if ".experts." in linear:
                yield down if linear.endswith("down_proj") else gate_up, source.weight(linear)


def _error(coded: Coded) -> float:
    error = size = 0.0
    for codec, matrix in coded:
        parts = codec.encode(matrix, largest=float(matrix.abs().max()))
        rows, columns = matrix.shape
        made = codec.decode(parts, rows=rows, columns=columns)
        error += float((made - matrix).double().square().sum())
        size += float(matrix.double().square().sum())
    return math.sqrt(error / size)
