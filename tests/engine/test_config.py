"""`config.json`: both spellings, what may be missing, and what is refused with which words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from palimpsest.engine.config import ModelConfig, read_config
from palimpsest.engine.errors import CheckpointError

Edit = Callable[[dict[str, Any]], object]


@pytest.fixture
def edited(tmp_path: Path, bundled_folder: Path) -> Callable[[Edit], Path]:
    """A folder with the bundled config.json after an edit."""

    def write(edit: Edit) -> Path:
        raw = json.loads((bundled_folder / "config.json").read_text())
        edit(raw)
        (tmp_path / "config.json").write_text(json.dumps(raw))
        return tmp_path

    return write


def test_the_bundled_config_is_read(bundled_folder: Path) -> None:
    config = read_config(bundled_folder)
    assert (config.vocabulary_size, config.hidden_size, config.canvas_length) == (512, 192, 64)
    assert config.end_token_ids == (1, 106, 50)
    assert [layer.window for layer in config.layers] == [128, 128, None, 128, None]
    assert [layer.canvas_window for layer in config.layers] == [127, 127, None, 127, None]
    assert [layer.head_dim for layer in config.layers] == [32, 32, 64, 32, 64]
    assert [layer.num_key_value_heads for layer in config.layers] == [2, 2, 1, 2, 1]
    sliding, full = config.layers[0].rope, config.layers[-1].rope
    assert (sliding.theta, sliding.rotated_fraction) == (1e4, 1.0)
    assert (full.theta, full.rotated_fraction, full.factor) == (1e6, 0.25, 1.0)


def _new_spelling(raw: dict[str, Any]) -> None:
    text = raw["text_config"]
    sizes = {
        "head_dim": text.pop("global_head_dim"),
        "num_key_value_heads": text.pop("num_global_key_value_heads"),
    }
    text["per_layer_config"] = {"2": sizes, "4": sizes}


def test_both_spellings_of_the_full_layers_sizes_mean_the_same(
    edited: Callable[[Edit], Path], bundled_folder: Path
) -> None:
    assert read_config(edited(_new_spelling)) == read_config(bundled_folder)


def test_what_transformers_writes_is_read(calm_folder: Path) -> None:
    raw = json.loads((calm_folder / "config.json").read_text())
    assert "per_layer_config" in raw["text_config"]
    assert [layer.head_dim for layer in read_config(calm_folder).layers] == [16, 16, 16, 32]


def test_without_layer_types_every_sixth_layer_is_full_and_the_last(
    edited: Callable[[Edit], Path],
) -> None:
    def edit(raw: dict[str, Any]) -> None:
        del raw["text_config"]["layer_types"]
        raw["text_config"]["num_hidden_layers"] = 14

    assert _full(read_config(edited(edit))) == [5, 11, 13]


def test_the_last_layer_is_full_whatever_layer_types_say(edited: Callable[[Edit], Path]) -> None:
    kinds = ["full_attention"] + ["sliding_attention"] * 4
    config = read_config(edited(lambda raw: raw["text_config"].update(layer_types=kinds)))
    assert _full(config) == [0, 4]


def _full(config: ModelConfig) -> list[int]:
    return [layer.index for layer in config.layers if layer.window is None]


def test_global_key_value_heads_default_to_those_of_the_other_layers(
    edited: Callable[[Edit], Path],
) -> None:
    config = read_config(edited(lambda raw: raw["text_config"].pop("num_global_key_value_heads")))
    assert config.layers[-1].num_key_value_heads == 2


@pytest.mark.parametrize("value", [1, [1]])
def test_one_end_token_may_be_a_number(edited: Callable[[Edit], Path], value: object) -> None:
    assert read_config(edited(lambda raw: raw.update(eos_token_id=value))).end_token_ids == (1,)


def test_the_end_token_of_the_text_config_is_the_second_choice(
    edited: Callable[[Edit], Path],
) -> None:
    assert read_config(edited(lambda raw: raw.pop("eos_token_id"))).end_token_ids == (1,)


REQUIRED = [
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "global_head_dim",
    "sliding_window",
    "num_experts",
    "top_k_experts",
    "moe_intermediate_size",
    "rms_norm_eps",
    "final_logit_softcapping",
    "max_position_embeddings",
    "rope_parameters",
]


@pytest.mark.parametrize("key", REQUIRED)
def test_a_missing_key_is_named_with_the_file(edited: Callable[[Edit], Path], key: str) -> None:
    folder = edited(lambda raw: raw["text_config"].pop(key))
    with pytest.raises(CheckpointError) as refusal:
        read_config(folder)
    assert str(refusal.value) == f"{folder}/config.json: the key '{key}' is missing"


@pytest.mark.parametrize("key", ["canvas_length", "text_config"])
def test_a_missing_key_at_the_top_is_named_too(edited: Callable[[Edit], Path], key: str) -> None:
    with pytest.raises(CheckpointError, match=f"the key '{key}' is missing"):
        read_config(edited(lambda raw: raw.pop(key)))


def _text(**changes: object) -> Edit:
    return lambda raw: raw["text_config"].update(changes)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda raw: raw.update(architectures=["Gemma4ForConditionalGeneration"]),
            r"architectures is \['Gemma4ForConditionalGeneration'\], "
            "this server runs DiffusionGemmaForBlockDiffusion",
        ),
        (lambda raw: raw.pop("architectures"), r"architectures is \[\], this server runs"),
        (lambda raw: raw.update(architectures=5), "config.json: .*int"),
        (lambda raw: raw.update(text_config=None), "text_config is NoneType, not an object"),
        (lambda raw: raw.update(tie_word_embeddings=False), "lm_head must be the embedding"),
        (_text(hidden_activation="silu"), "hidden_activation is 'silu', this engine runs"),
        (_text(attention_bias=True), "attention_bias is True, this engine runs False"),
        (
            _text(use_bidirectional_attention="all"),
            "use_bidirectional_attention is 'all', this engine runs 'vision'",
        ),
        (_text(layer_types=["full_attention"]), "layer_types has 1 entries for 5 layers"),
        (
            _text(layer_types=["linear_attention"] * 5),
            r"layer_types\[0\] is 'linear_attention', neither full_attention nor sliding_attention",
        ),
        (_text(hidden_size="wide"), "invalid literal for int"),
        (_text(hidden_size=None), "int"),
    ],
)
def test_what_this_engine_does_not_run_is_refused(
    edited: Callable[[Edit], Path], edit: Edit, message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_config(edited(edit))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "config.json: not readable as JSON"),
        ("[1]", "config.json: holds a list, not an object"),
        (None, "config.json: no such file"),
    ],
)
def test_a_file_that_is_no_json_object_is_refused(
    tmp_path: Path, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=message):
        read_config(tmp_path)
