"""The vision tower gives what the reference's gives, picture by picture and all at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from blind import blinded
from pairs import Pair

from palimpsest.engine.config import read_config
from palimpsest.engine.vision.tower import Patches, Vision
from palimpsest.engine.weights import load_model

TOLERANCE = 1e-5
"""fp32, absolute."""
SHAPES = [(1, 1), (4, 3), (2, 9), (8, 8), (10, 1)]
"""Tokens: rows and columns."""


def vision_of(pair: Pair) -> Vision:
    vision = pair.model.network.vision
    assert vision is not None
    return vision


def noise(vision: Vision, rows: int, columns: int) -> Patches:
    config = vision.vision_tower.config
    shape = (rows * columns * config.pooling**2, config.patch_values)
    generator = torch.Generator().manual_seed(100 * rows + columns)
    values = torch.randint(0, 256, shape, generator=generator).to(torch.uint8)
    return Patches(rows=rows, columns=columns, values=values)


def expected(pair: Pair, picture: Patches, *, filling: int = 0) -> torch.Tensor:
    """What the reference makes of it, with so many patches of filling behind it."""
    pooling = vision_of(pair).vision_tower.config.pooling
    rows, columns = picture.rows * pooling, picture.columns * pooling
    places = [(x, y) for y in range(rows) for x in range(columns)] + [(-1, -1)] * filling
    pixels = picture.values.float() / 255
    pixels = torch.cat([pixels, torch.zeros(filling, pixels.shape[1])])
    features = pair.reference.model.encoder.get_image_features(
        pixels[None], torch.tensor([places]), return_dict=True
    )
    return features.pooler_output


@pytest.mark.parametrize("shape", SHAPES)
def test_a_picture_gives_the_references_soft_tokens(calm: Pair, shape: tuple[int, int]) -> None:
    vision = vision_of(calm)
    picture = noise(vision, *shape)
    with torch.inference_mode():
        torch.testing.assert_close(
            vision([picture]), expected(calm, picture, filling=18), atol=TOLERANCE, rtol=0
        )


def test_pictures_together_give_what_each_gives_alone(calm: Pair) -> None:
    vision = vision_of(calm)
    pictures = [noise(vision, *shape) for shape in SHAPES]
    with torch.inference_mode():
        alone = torch.cat([vision([picture]) for picture in pictures])
        torch.testing.assert_close(vision(pictures), alone, atol=TOLERANCE, rtol=0)


def test_where_a_patch_stands_matters(calm: Pair) -> None:
    vision = vision_of(calm)
    picture = noise(vision, 4, 3)
    turned = Patches(rows=3, columns=4, values=picture.values)
    with torch.inference_mode():
        assert (vision([picture]) - vision([turned])).abs().max() > 0.1


def test_a_checkpoint_without_vision_weights_sees_nothing(
    bundled_folder: Path, tmp_path: Path
) -> None:
    blind = blinded(bundled_folder, tmp_path)
    network = load_model(blind, read_config(blind), dtype=torch.float32, device=torch.device("cpu"))
    assert network.vision is None
