"""Which folder is served under which name, and what its generation_config.json says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from palimpsest.engine.checkpoint import (
    checkpoint_folder,
    end_tokens,
    read_config,
    read_defaults,
    served_name,
)
from palimpsest.engine.errors import CheckpointError
from palimpsest.engine.sampling import Sampling


def write(folder: Path, content: dict[str, Any]) -> Path:
    (folder / "generation_config.json").write_text(json.dumps(content))
    return folder


def test_bundled_is_a_folder_of_the_package_and_has_its_own_name() -> None:
    assert (checkpoint_folder("bundled") / "config.json").is_file()
    assert served_name("bundled", None) == "palimpsest-tiny"


def test_a_folder_is_served_under_its_own_name_or_the_chosen_one(tmp_path: Path) -> None:
    assert checkpoint_folder(str(tmp_path)) == tmp_path
    assert served_name(str(tmp_path / "sub" / ".." / "my-model"), None) == "my-model"
    assert served_name(str(tmp_path), "mine") == served_name("bundled", "mine") == "mine"


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"
    with pytest.raises(CheckpointError, match=f"--model {missing}: no such folder; give a check"):
        checkpoint_folder(str(missing))


def test_published_settings_are_the_defaults(tmp_path: Path) -> None:
    published = {
        "max_new_tokens": 300,
        "max_denoising_steps": 32,
        "t_max": 0.9,
        "t_min": 0.3,
        "confidence_threshold": 0.01,
        "stability_threshold": 2,
        "sampler_config": {"_cls_name": "EntropyBoundSamplerConfig", "entropy_bound": 0.2},
    }
    assert read_defaults(write(tmp_path, published)) == Sampling(
        max_output_tokens=300,
        seed=0,
        max_denoising_steps=32,
        entropy_bound=0.2,
        temperature_max=0.9,
        temperature_min=0.3,
        confidence_threshold=0.01,
        stability_threshold=2,
    )


def test_what_a_checkpoint_leaves_out_is_the_models_own_default(tmp_path: Path) -> None:
    assert read_defaults(write(tmp_path, {})) == Sampling(max_output_tokens=256, seed=0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"t_max": 0.1, "t_min": 0.5}, "temperature_min: 0.5 is above temperature_max 0.1"),
        ({"max_denoising_steps": 0}, "max_denoising_steps: 0 is outside 1 to 1000"),
        (
            {"sampler_config": {"_cls_name": "OtherConfig"}},
            "sampler_config is OtherConfig, this engine has the entropy-bound one",
        ),
    ],
)
def test_settings_that_cannot_be_served_are_refused_with_the_file(
    tmp_path: Path, content: dict[str, Any], message: str
) -> None:
    with pytest.raises(CheckpointError, match=re.escape(f"generation_config.json: {message}")):
        read_defaults(write(tmp_path, content))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"generation_config\.json: no such file"):
        read_defaults(tmp_path)


@pytest.mark.parametrize(("value", "ends"), [([7, 8], (7, 8)), (7, (7,)), (None, (1, 106, 50))])
def test_end_tokens_of_generation_come_before_those_of_the_config(
    tmp_path: Path, bundled_folder: Path, value: object, ends: tuple[int, ...]
) -> None:
    config = read_config(bundled_folder)
    assert end_tokens(write(tmp_path, {"eos_token_id": value}), config) == ends
