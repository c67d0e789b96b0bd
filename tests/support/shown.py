"""Prompts with pictures, as the engine takes them and as the reference does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pairs import Pair
from replay import random_prompt
from torch import Tensor

from palimpsest.engine.commands import Picture
from palimpsest.engine.vision.patches import CutPicture


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPrompt:
    """A prompt in which pictures stand."""

    token_ids: list[int]
    pictures: tuple[Picture, ...]
    settings: dict[str, Any]
    """What the reference's `generate` takes besides the tokens."""


def noise_picture(pair: Pair, rows: int, columns: int, seed: int) -> CutPicture:
    """Random pixels."""
    config = pair.model.network.config.vision
    assert config is not None
    generator = torch.Generator().manual_seed(seed)
    shape = (rows * columns * config.pooling**2, config.patch_values)
    values = torch.randint(0, 256, shape, generator=generator).to(torch.uint8)
    return CutPicture(rows=rows, columns=columns, values=values.numpy().tobytes())


def show(pair: Pair, parts: Sequence[int | CutPicture], *, seed: int = 0) -> ShownPrompt:
    """So many random tokens, a picture between its two marks, and so on."""
    config = pair.reference.config
    tokens, pictures = random_prompt(1), []
    for number, part in enumerate(parts):
        if isinstance(part, int):
            tokens += random_prompt(part + 1, seed + number)[1:]
            continue
        start = len(tokens) + 1
        image = [config.image_token_id] * part.token_count
        tokens += [config.boi_token_id, *image, config.eoi_token_id]
        pictures.append(
            Picture(
                start=start, rows=part.rows, columns=part.columns, patches=part.values, key=part.key
            )
        )
    settings = reference_inputs(pair, tokens, [part for part in parts if not isinstance(part, int)])
    return ShownPrompt(token_ids=tokens, pictures=tuple(pictures), settings=settings)


def reference_inputs(
    pair: Pair, tokens: list[int], pictures: Sequence[CutPicture]
) -> dict[str, Any]:
    """Pixels and positions, filled up to the longest picture."""
    config = pair.model.network.config.vision
    assert config is not None
    longest = max(picture.token_count for picture in pictures) * config.pooling**2
    pixels, places = [], []
    for picture in pictures:
        values = torch.frombuffer(bytearray(picture.values), dtype=torch.uint8)
        rows = values.view(-1, config.patch_values).float() / 255
        pixels.append(_filled(rows, longest, 0.0))
        across = picture.columns * config.pooling
        of_patches = torch.arange(len(rows))
        grid = torch.stack([of_patches % across, of_patches // across], -1)
        places.append(_filled(grid, longest, -1))
    image = torch.tensor([tokens]) == pair.reference.config.image_token_id
    return {
        "pixel_values": torch.stack(pixels),
        "image_position_ids": torch.stack(places),
        "mm_token_type_ids": image.long(),
    }


def _filled(rows: Tensor, count: int, value: float) -> Tensor:
    filling = rows.new_full((count - len(rows), rows.shape[1]), value)
    return torch.cat([rows, filling])
