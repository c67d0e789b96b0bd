"""Pictures as patches: what transformers' processor makes of them, without its padding."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from transformers.models.gemma4.image_processing_pil_gemma4 import Gemma4ImageProcessorPil

from palimpsest.engine.errors import CheckpointError, InvalidRequest
from palimpsest.engine.training.export import processing
from palimpsest.engine.vision.config import BUDGETS
from palimpsest.engine.vision.patches import PictureCutter, read_processing

SIZES = [(96, 96), (640, 480), (90, 160), (300, 100), (11, 700)]
"""Width and height."""


@pytest.fixture(scope="module")
def cutter() -> PictureCutter:
    return PictureCutter(processing())


def noise(width: int, height: int) -> Image.Image:
    generator = np.random.default_rng(width)
    return Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_patches_are_those_of_the_processor(
    cutter: PictureCutter, size: tuple[int, int], budget: int
) -> None:
    picture = noise(*size)
    cut = cutter.cut(picture, budget)
    processor: Any = Gemma4ImageProcessorPil()
    wanted = processor(picture, max_soft_tokens=budget)
    count = 9 * cut.token_count
    places = wanted["image_position_ids"][0]
    assert wanted["num_soft_tokens_per_image"] == [cut.token_count]
    assert cut.token_count <= budget
    assert (places[count:] == -1).all()
    assert places[:count].max(0).tolist() == [3 * cut.columns - 1, 3 * cut.rows - 1]
    values = np.frombuffer(cut.values, np.uint8).reshape(count, -1)
    np.testing.assert_allclose(values / 255, wanted["pixel_values"][0][:count], atol=1e-7)


def test_pictures_are_known_by_what_they_show(cutter: PictureCutter) -> None:
    one, same, other = (cutter.cut(noise(width, 96), 70) for width in (96, 96, 97))
    assert one.key == same.key
    assert one.key != other.key
    assert len(one.key) == 16


def test_a_picture_of_another_mode_is_read_as_rgb(cutter: PictureCutter) -> None:
    grey = noise(96, 96).convert("L")
    assert cutter.cut(grey, 70) == cutter.cut(grey.convert("RGB"), 70)


@pytest.mark.parametrize("budget", [0, 71, 2240])
def test_a_budget_that_is_none_is_refused(cutter: PictureCutter, budget: int) -> None:
    with pytest.raises(InvalidRequest, match=f"a budget of {budget} tokens is none of"):
        cutter.cut(noise(96, 96), budget)


def test_the_processors_file_may_be_of_the_older_kind(bundled_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((bundled_folder / "config.json").read_bytes())
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"max_soft_tokens": 560}))
    read = read_processing(tmp_path)
    assert (read.image_budget, read.frame_budget, read.frame_count) == (560, 70, 32)


def test_a_budget_that_no_tower_has_is_named_with_its_file(
    bundled_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_bytes((bundled_folder / "config.json").read_bytes())
    raw = {"image_processor": {"max_soft_tokens": 300}}
    (tmp_path / "processor_config.json").write_text(json.dumps(raw))
    with pytest.raises(CheckpointError, match="max_soft_tokens is 300, not one of"):
        read_processing(tmp_path)
