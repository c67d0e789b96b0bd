"""Reads a checkpoint of any published layout into a network: one safetensors file or shards with an
index, BF16 or quantised. What stands where is planned first (quantised/plan.py), then read file by
file (quantised/reading.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from palimpsest.engine.config import ModelConfig
from palimpsest.engine.errors import CheckpointError
from palimpsest.engine.headers import Entry, read_headers, weight_files
from palimpsest.engine.model import DiffusionGemma
from palimpsest.engine.quantised.detection import detect
from palimpsest.engine.quantised.places import SEEING
from palimpsest.engine.quantised.plan import Piece, plan
from palimpsest.engine.quantised.reading import Progress, Target, Weights, read
from palimpsest.engine.quantised.scheme import Misplaced


def load_model(
    folder: Path,
    config: ModelConfig,
    *,
    dtype: torch.dtype,
    device: torch.device,
    progress: Progress = lambda done, total: None,
) -> DiffusionGemma:
    """The network, on `device` in `dtype`. Raises CheckpointError naming file or tensor."""
    contents = contents_of(folder, config)
    target = Target(dtype=dtype, device=device)
    return network_of(contents.config, read_weights(contents, target, progress))


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What the files of a checkpoint hold, before any of it is read."""

    config: ModelConfig
    """Of the network that they are: one that sees nothing if there is no vision tower."""
    files: list[Path]
    entries: dict[str, Entry]
    """All tensors of all files."""
    pieces: list[Piece]
    """What of them is the network."""


def contents_of(folder: Path, config: ModelConfig) -> Contents:
    """From the headers alone. Raises CheckpointError naming file or tensor."""
    files, quantised = weight_files(folder), detect(folder)
    entries = read_headers(files)
    if not any(name.startswith(f"{SEEING}vision_tower.") for name in entries):
        config = replace(config, vision=None)
    try:
        pieces = plan(entries, shapes_of(config), quantised=quantised)
    except Misplaced as wrong:
        raise CheckpointError(f"{folder}: {wrong}") from None
    return Contents(config=config, files=files, entries=entries, pieces=pieces)


def read_weights(contents: Contents, target: Target, progress: Progress) -> Weights:
    """The network's tensors. Raises CheckpointError naming a file that cannot be read."""
    shapes = shapes_of(contents.config)
    return read(contents.files, contents.pieces, shapes, target=target, progress=progress)


def shapes_of(config: ModelConfig) -> dict[str, torch.Size]:
    """Of the network's tensors, by its own names."""
    with torch.device("meta"):
        return {name: tensor.shape for name, tensor in DiffusionGemma(config).state_dict().items()}


def network_of(config: ModelConfig, weights: Weights) -> DiffusionGemma:
    """The network with these weights. Where they stayed coded only fused kernels can run it; what
    stayed in few bits is no part of it.
    """
    with torch.device("meta"):
        network = DiffusionGemma(config)
    missing, unknown = network.load_state_dict(weights.tensors, assign=True, strict=False)
    assert not unknown
    assert set(missing) == weights.low_bit.keys(), "a plan is of the whole network"
    return network.eval().requires_grad_(False)
