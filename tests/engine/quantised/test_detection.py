"""Which layout a config.json names, and the refusals of what is not supported."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import published
import pytest
from published import DECODER, ENCODER

from palimpsest.engine.config import read_config
from palimpsest.engine.errors import CheckpointError
from palimpsest.engine.quantised.detection import SUPPORTED, Quantisation, detect
from palimpsest.engine.quantised.ignored import Ignored
from palimpsest.engine.weights import contents_of

DENSE = "layers.0.mlp.gate_proj"


def folder_saying(folder: Path, said: object) -> Path:
    (folder / "config.json").write_text(json.dumps({"quantization_config": said}))
    return folder


def detected(folder: Path, said: object) -> Quantisation:
    found = detect(folder_saying(folder, said))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("said", "name"),
    [
        (published.FP8, "compressed-tensors float-quantized (FP8-dynamic)"),
        (published.NVFP4, "compressed-tensors nvfp4-pack-quantized (NVFP4)"),
        (published.MODELOPT, "modelopt NVFP4"),
        ({"quant_method": "palimpsest", "format": "w6a8", "layout": 2}, "palimpsest w6a8"),
        ({"quant_method": "palimpsest", "format": "w4a8", "layout": 2}, "palimpsest w4a8"),
    ],
)
def test_each_published_layout_is_known(tmp_path: Path, said: Any, name: str) -> None:  # noqa: ANN401
    assert detected(tmp_path, said).name == name


def test_a_checkpoint_that_says_nothing_is_not_quantised(tmp_path: Path) -> None:
    assert detect(folder_saying(tmp_path, None)) is None


def test_modelopts_own_file_counts_where_the_config_says_nothing(tmp_path: Path) -> None:
    folder = folder_saying(tmp_path, None)
    said = {"quant_algo": "NVFP4", "exclude_modules": ["model.decoder.layers.0.mlp*"]}
    (folder / "hf_quant_config.json").write_text(
        json.dumps({"producer": {"name": "modelopt"}, "quantization": said})
    )
    found = detect(folder)
    assert found is not None
    assert found.name == "modelopt NVFP4"
    assert found.ignored.has(DENSE)


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ({"quant_method": "gptq", "bits": 4}, "quant_method 'gptq'"),
        ({}, "quant_method None"),
        (
            published.COMPRESSED | {"format": "pack-quantized"},
            "compressed-tensors with the format 'pack-quantized'",
        ),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, "modelopt with the quant_algo 'FP8'"),
        (
            published.FP8 | {"config_groups": {"g": {"weights": {"num_bits": 8, "type": "int"}}}},
            "g whose weights have type 'int' instead of 'float'",
        ),
        (
            published.NVFP4
            | {"config_groups": {"g": {"weights": {"num_bits": 4, "type": "float"}}}},
            "g whose weights have strategy None instead of 'tensor_group'",
        ),
        (
            {"quant_method": "palimpsest", "format": "w6a8", "layout": 1},
            "palimpsest with the format 'w6a8', layout 1",
        ),
        (published.FP8 | {"sparsity_config": {"format": "sparse-24-bitmask"}}, "'sparse-24-bitm"),
    ],
)
def test_what_is_not_supported_is_refused_by_name_beside_what_is(
    tmp_path: Path,
    said: Any,  # noqa: ANN401
    named: str,
) -> None:
    with pytest.raises(CheckpointError) as refusal:
        detected(tmp_path, said)
    message = str(refusal.value)
    assert message.startswith(f"{tmp_path}/config.json: quantization_config: ")
    assert named in message
    assert message.endswith(f"is not supported; supported are {', '.join(SUPPORTED)}")


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("fp8", "is str, not an object"),
        (published.FP8 | {"config_groups": {}}, "config_groups is missing"),
        (published.FP8 | {"ignore": "lm_head"}, "ignore is not a list of names"),
        (published.FP8 | {"ignore": ["re:("]}, "ignore: 're:(' is not a regular expression"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, said: object, problem: str) -> None:
    with pytest.raises(CheckpointError) as refusal:
        detected(tmp_path, said)
    assert f"{tmp_path}/config.json: quantization_config: {problem}" in str(refusal.value)


@pytest.mark.parametrize(
    "entry",
    [
        "re:.*mlp.*",
        r"re:model\.decoder\.layers\.0\..*",
        r"re:model\.encoder\.language_model\.layers\.\d+\.mlp",
        DECODER + DENSE,
        ENCODER + DENSE,
        DECODER + "layers.0.mlp",
        ENCODER + "layers.0",
        DECODER + "layers.0.mlp*",
        DENSE,
    ],
)
def test_an_ignored_layer_is_known_in_every_spelling(entry: str) -> None:
    assert Ignored.of([entry]).has(DENSE)


@pytest.mark.parametrize(
    "entry",
    ["lm_head", "re:.*router", "re:mlp", DECODER + "layers.0.mlp.gate", DECODER + "layers.00.mlp"],
)
def test_other_layers_are_not(entry: str) -> None:
    assert not Ignored.of([entry]).has(DENSE)


@pytest.mark.parametrize("entry", ["re:.*mlp.*", DECODER + DENSE, ENCODER + DENSE])
def test_an_ignored_layer_may_be_plain_and_may_not_be_quantised(
    calm_folder: Path, tmp_path: Path, entry: str
) -> None:
    said = published.FP8 | {"ignore": [entry]}
    others = r"layers\.(?!0\.mlp).*" if ":" not in entry else r"layers\.\d+\.(?!mlp).*"
    plain = published.published(calm_folder, said, published.fp8_linear, others)
    folder = plain.write(tmp_path / "plain")
    assert contents_of(folder, read_config(folder)).pieces

    quantised = published.published(calm_folder, said, published.fp8_linear, ".*")
    folder = replace(quantised).write(tmp_path / "quantised")
    with pytest.raises(CheckpointError) as refusal:
        contents_of(folder, read_config(folder))
    named = f"the tensor {DECODER}{DENSE}.weight is quantised, but the list ignore has its layer"
    assert str(refusal.value) == f"{folder}: {named}"
