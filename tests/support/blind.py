"""Checkpoints without eyes: as they are published for text alone."""

from __future__ import annotations

import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

from palimpsest.engine.quantised.places import published_name

EYES = tuple(published_name(f"vision.{part}.") for part in ("vision_tower", "embed_vision"))


def blinded(model: Path, folder: Path) -> Path:
    """A copy of a checkpoint in `folder / "blind"`, less the tower's weights."""
    copy = shutil.copytree(model, folder / "blind")
    tensors = load_file(copy / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith(EYES)}
    save_file(kept, copy / "model.safetensors", metadata={"format": "pt"})
    return copy
