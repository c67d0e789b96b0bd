"""What each format makes of experts: relative errors of weights that are Gaussian or Laplace
numbers, and of a checkpoint's own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from palimpsest.engine.config import read_config
from palimpsest.engine.quantised.scheme import Codec
from palimpsest.engine.quantiser.formats import FORMATS, Format
from palimpsest.engine.quantiser.source import Source

SHAPE = (1408, 2816)
"""Of the random matrices: gate and up projection of a released expert."""
RANDOM = {
    "Gaussian": torch.distributions.Normal(0.0, 1.0),
    "Laplace": torch.distributions.Laplace(0.0, 1.0),
}


def weight_errors(
    folder: Path, name: str, *, shape: tuple[int, int] = SHAPE
) -> dict[str, dict[str, float]]:
    """Root mean square errors relative to that of the weights, by format and by where the weights
    come from: random ones of this `shape`, and the checkpoint in `folder`, which is called `name`.
    """
    torch.manual_seed(0)
    random = {kind: [of.sample(shape)] for kind, of in RANDOM.items()}
    errors: dict[str, dict[str, float]] = {}
    for format, made in FORMATS.items():
        codec = _codec(made)
        own = {name: _experts(folder, made)}
        errors[format] = {
            kind: _error(codec, matrices) for kind, matrices in (random | own).items()
        }
    return errors


def _codec(format: Format) -> Codec:
    """Of gates and up projections."""
    return format.gate_up or format.codecs["experts"]


def _experts(folder: Path, format: Format) -> list[Tensor]:
    return list(_gate_up(folder, format))


def _gate_up(folder: Path, format: Format) -> Iterator[Tensor]:
    with Source(folder, read_config(folder), joined=format.joined) as source:
        for linear in source.places:
            if ".experts." in linear and not linear.endswith("down_proj"):
                yield source.weight(linear)


def _error(codec: Codec, matrices: list[Tensor]) -> float:
    error = size = 0.0
    for matrix in matrices:
        parts = codec.encode(matrix, largest=float(matrix.abs().max()))
        rows, columns = matrix.shape
        made = codec.decode(parts, rows=rows, columns=columns)
        error += float((made - matrix).double().square().sum())
        size += float(matrix.double().square().sum())
    return math.sqrt(error / size)
