"""The bundled model with eyes that were never trained: what it says of a picture means nothing, but
all that leads there is real.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from palimpsest.engine.api import checkpoint_folder
from palimpsest.engine.config import read_config
from palimpsest.engine.quantised.places import published_name
from palimpsest.engine.vision.tower import Vision

PLACES = 512
"""Of patches along a side, so that every budget fits."""


def seeing_model(folder: Path) -> Path:
    """Fills `folder / "seeing"` and returns it."""
    copy = shutil.copytree(checkpoint_folder("bundled"), folder / "seeing")
    path = copy / "config.json"
    raw = json.loads(path.read_text())
    raw["vision_config"]["position_embedding_size"] = PLACES
    path.write_text(json.dumps(raw))
    config = read_config(copy)
    assert config.vision is not None
    eyes = Vision(config.vision, config.hidden_size)
    tensors = load_file(copy / "model.safetensors")
    generator = torch.Generator().manual_seed(0)
    for name, value in eyes.state_dict().items():
        noise = torch.randn(value.shape, generator=generator) * 0.1
        tensors[published_name(f"vision.{name}")] = (noise + (value.ndim == 1)).to(torch.bfloat16)
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    return copy
