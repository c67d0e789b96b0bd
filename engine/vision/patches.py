"""From an RGB picture to patches, by transformers' processor of Gemma 4.

The processor that uses Pillow is taken, also where torchvision is installed: the same picture then
gives the same tokens everywhere. A frame of a video is a picture with a budget of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from palimpsest.engine.config import read_config, read_json
from palimpsest.engine.errors import CheckpointError, InvalidRequest
from palimpsest.engine.vision.config import BUDGETS

KEY_BYTES = 16
_FIELD = "image"
"""Of the complaints; callers put the path of the part before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CutPicture:
    """A picture as the engine takes it: rows · columns tokens."""

    rows: int
    columns: int
    values: bytes
    """uint8 [patches, patch size² · 3] in reading order, each patch (row, column, channel)."""

    @property
    def token_count(self) -> int:
        return self.rows * self.columns

    @property
    def key(self) -> bytes:
        """Stands for all of it."""
        shape = f"{self.rows}x{self.columns} ".encode()
        return blake2b(shape + self.values, digest_size=KEY_BYTES).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Processing:
    """What a checkpoint says of the pictures that it was trained on."""

    patch_size: int
    pooling: int
    image_budget: int
    """Tokens of an image at most, one of BUDGETS, unless a request says otherwise."""
    frame_budget: int
    """The same of a video's frame."""
    frame_count: int
    """Frames of a video at most."""
    longest_side: int
    """Patches along a side at most: the tower knows no place behind."""


def read_processing(folder: Path) -> Processing:
    """From processor_config.json, or the older preprocessor_config.json beside it.

    What neither says is as transformers has it. Raises CheckpointError naming file and key.
    """
    config = read_config(folder)
    path = folder / "processor_config.json"
    raw = read_json(path) if path.exists() else {}
    older = folder / "preprocessor_config.json"
    image = raw.get("image_processor") or (read_json(older) if older.exists() else {})
    video = raw.get("video_processor") or {}
    try:
        processing = Processing(
            patch_size=int(image.get("patch_size", 16)),
            pooling=int(image.get("pooling_kernel_size", 3)),
            image_budget=int(image.get("max_soft_tokens", 280)),
            frame_budget=int(video.get("max_soft_tokens", 70)),
            frame_count=int(video.get("num_frames", 32)),
            longest_side=0 if config.vision is None else config.vision.position_count,
        )
    except (AttributeError, TypeError, ValueError) as wrong:
        raise CheckpointError(f"{path}: {wrong}") from None
    for budget in (processing.image_budget, processing.frame_budget):
        if budget not in BUDGETS:
            raise CheckpointError(f"{path}: max_soft_tokens is {budget}, not one of {BUDGETS}")
    return processing


class PictureCutter:
    """Resizes and cuts pictures; any thread may use it."""

    def __init__(self, processing: Processing) -> None:
        # loaded here, as importing it takes seconds: it brings torch
        from transformers.models.gemma4.image_processing_pil_gemma4 import Gemma4ImageProcessorPil

        self.processing = processing
        self._processor: Any = Gemma4ImageProcessorPil(
            patch_size=processing.patch_size,
            pooling_kernel_size=processing.pooling,
            do_rescale=False,
        )

    def cut(self, picture: Image.Image, budget: int) -> CutPicture:
        """The picture in RGB, scaled to at most `budget` tokens.

        Raises InvalidRequest for a budget that is none of BUDGETS, and for a picture that is too
        narrow for it.
        """
        if budget not in BUDGETS:
            raise InvalidRequest(_FIELD, f"a budget of {budget} tokens is none of {BUDGETS}")
        try:
            cut = self._processor(picture.convert("RGB"), max_soft_tokens=budget)
        except ValueError:
            raise InvalidRequest(_FIELD, _too_narrow(picture, budget)) from None
        count = cut["num_soft_tokens_per_image"][0] * self.processing.pooling**2
        columns, rows = cut["image_position_ids"][0][:count].max(0) + 1
        if max(columns, rows) > self.processing.longest_side:
            raise InvalidRequest(_FIELD, _too_narrow(picture, budget))
        return CutPicture(
            rows=int(rows) // self.processing.pooling,
            columns=int(columns) // self.processing.pooling,
            values=np.ascontiguousarray(cut["pixel_values"][0][:count], dtype=np.uint8).tobytes(),
        )


def _too_narrow(picture: Image.Image, budget: int) -> str:
    width, height = picture.size
    return f"{width} × {height} pixels are too narrow to be brought to {budget} tokens"
