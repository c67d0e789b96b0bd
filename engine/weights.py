"""Reads a checkpoint of any published layout into a network: one safetensors file or shards with an
index, BF16 or quantised. What stands where is planned first (quantised/plan.py), then read file by
file (quantised/reading.py).
"""

from __future__ import annotations

from pathlib import Path

import torch

from palimpsest.engine.config import ModelConfig
from palimpsest.engine.errors import CheckpointError
from palimpsest.engine.headers import read_headers, weight_files
from palimpsest.engine.model import DiffusionGemma
from palimpsest.engine.quantised.detection import detect
from palimpsest.engine.quantised.plan import Misplaced, Piece, plan
from palimpsest.engine.quantised.reading import Progress, Target, Weights, read


def load_model(
    folder: Path,
    config: ModelConfig,
    *,
    dtype: torch.dtype,
    device: torch.device,
    progress: Progress = lambda done, total: None,
) -> DiffusionGemma:
    """The network, on `device` in `dtype`. Raises CheckpointError naming file or tensor."""
    target = Target(dtype=dtype, device=device)
    return network_of(config, read_weights(folder, config, target, progress))


def read_weights(folder: Path, config: ModelConfig, target: Target, progress: Progress) -> Weights:
    """The network's tensors. Raises CheckpointError naming file or tensor."""
    shapes = shapes_of(config)
    pieces = pieces_of(folder, config)
    return read(weight_files(folder), pieces, shapes, target=target, progress=progress)


def pieces_of(folder: Path, config: ModelConfig) -> list[Piece]:
    """What the files of a checkpoint hold of the network. Raises CheckpointError."""
    files, quantised = read_headers(weight_files(folder)), detect(folder)
    try:
        return plan(files, shapes_of(config), quantised=quantised)
    except Misplaced as wrong:
        raise CheckpointError(f"{folder}: {wrong}") from None


def shapes_of(config: ModelConfig) -> dict[str, torch.Size]:
    """Of the network's tensors, by its own names."""
    with torch.device("meta"):
        return {name: tensor.shape for name, tensor in DiffusionGemma(config).state_dict().items()}


def network_of(config: ModelConfig, weights: Weights) -> DiffusionGemma:
    """The network with these weights. Where they stayed e4m3 only fused kernels can run it."""
    with torch.device("meta"):
        network = DiffusionGemma(config)
    network.load_state_dict(weights.tensors, assign=True)
    return network.eval().requires_grad_(False)
