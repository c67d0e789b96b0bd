"""Reading safetensors: the layouts that are accepted, and each refusal."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from palimpsest.engine.config import read_config
from palimpsest.engine.errors import CheckpointError
from palimpsest.engine.headers import weight_files
from palimpsest.engine.quantised.places import DECODER, ENCODER, published_name
from palimpsest.engine.weights import load_model

Tensors = dict[str, Tensor]
NORM = "layers.1.input_layernorm.weight"
SCALAR = "layers.2.layer_scalar"


def load(folder: Path, dtype: torch.dtype = torch.float32) -> Tensors:
    config = read_config(folder)
    model = load_model(folder, config, dtype=dtype, device=torch.device("cpu"))
    return dict(model.state_dict())


@pytest.fixture(scope="module")
def published(calm_folder: Path) -> Tensors:
    return load_file(calm_folder / "model.safetensors")


@pytest.fixture
def written(tmp_path: Path, calm_folder: Path) -> Callable[[Tensors], Path]:
    """A copy of the calm checkpoint with other tensors."""

    def write(tensors: Tensors) -> Path:
        shutil.copy(calm_folder / "config.json", tmp_path)
        save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
        return tmp_path

    return write


def same(a: Tensors, b: Tensors) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_one_file_is_loaded_under_the_checkpoints_names(
    calm_folder: Path, published: Tensors
) -> None:
    own = load(calm_folder)
    for name, tensor in own.items():
        assert torch.equal(tensor, published[published_name(name)]), name
    assert len(own) == len(published)


def test_the_two_sets_of_layer_scalars_are_kept_apart(calm_folder: Path) -> None:
    own = load(calm_folder)
    assert own["layers.2.layer_scalar"].item() == pytest.approx(0.75)
    assert own["layers.2.encoder_layer_scalar"].item() == pytest.approx(0.7)


def test_shards_with_an_index_hold_the_same_weights(
    sharded_folder: Path, calm_folder: Path
) -> None:
    assert len(weight_files(sharded_folder)) > 1
    whole = {name: tensor.bfloat16() for name, tensor in load(calm_folder).items()}
    assert same(load(sharded_folder, torch.bfloat16), whole)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_are_cast_to_the_asked_dtype(sharded_folder: Path, dtype: torch.dtype) -> None:
    assert {tensor.dtype for tensor in load(sharded_folder, dtype).values()} == {dtype}


def test_weights_need_no_gradients(calm_folder: Path) -> None:
    config = read_config(calm_folder)
    model = load_model(calm_folder, config, dtype=torch.float32, device=torch.device("cpu"))
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not model.training


def test_repeated_names_and_an_output_head_are_passed_over(
    written: Callable[[Tensors], Path], published: Tensors, calm_folder: Path
) -> None:
    twins = {
        name.replace(DECODER, ENCODER): torch.full_like(tensor, 9.0)
        for name, tensor in published.items()
        if name.startswith(DECODER)
        and not name.endswith("layer_scalar")
        and "self_conditioning" not in name
    }
    head = {"lm_head.weight": torch.full((512, 64), 9.0)}
    vestige = {"model.encoder.embed_vision.embedding.weight": torch.zeros(3)}
    assert same(load(written(published | twins | head | vestige)), load(calm_folder))


def test_text_weights_may_stand_under_the_encoder_alone(
    written: Callable[[Tensors], Path], published: Tensors, calm_folder: Path
) -> None:
    decoder_only = ("layer_scalar", "self_conditioning")
    moved = {
        name if any(part in name for part in decoder_only) else name.replace(DECODER, ENCODER): x
        for name, x in published.items()
    }
    assert same(load(written(moved)), load(calm_folder))


def test_one_set_of_layer_scalars_serves_both_modes(
    written: Callable[[Tensors], Path], published: Tensors
) -> None:
    single = {
        name: tensor
        for name, tensor in published.items()
        if not (name.startswith(ENCODER) and name.endswith("layer_scalar"))
    }
    own = load(written(single))
    assert torch.equal(own["layers.2.encoder_layer_scalar"], own[SCALAR])


def test_progress_counts_up_to_all_bytes(calm_folder: Path) -> None:
    reports: list[tuple[int, int]] = []
    load_model(
        calm_folder,
        read_config(calm_folder),
        dtype=torch.float32,
        device=torch.device("cpu"),
        progress=lambda done, total: reports.append((done, total)),
    )
    total = (calm_folder / "model.safetensors").stat().st_size
    assert {report[1] for report in reports} == {total}
    assert reports == sorted(reports)
    # the header is not counted
    assert 0.9 * total < reports[-1][0] <= total


def test_a_missing_tensor_is_named(written: Callable[[Tensors], Path], published: Tensors) -> None:
    rest = {name: tensor for name, tensor in published.items() if name != DECODER + NORM}
    folder = written(rest)
    with pytest.raises(CheckpointError) as refusal:
        load(folder)
    message = f"{folder}: 1 tensors are missing, the first is model.decoder.{NORM}"
    assert str(refusal.value) == message


def test_a_tensor_of_another_shape_is_named_with_both_shapes(
    written: Callable[[Tensors], Path], published: Tensors
) -> None:
    folder = written(published | {DECODER + NORM: torch.ones(63)})
    with pytest.raises(CheckpointError) as refusal:
        load(folder)
    message = f"the tensor model.decoder.{NORM} has shape [63], config.json asks for [64]"
    assert str(refusal.value) == f"{folder}: {message}"


@pytest.mark.parametrize(
    "name",
    [
        "model.decoder.layers.0.self_attn.q_proj.weight_scale",
        "model.decoder.layers.0.experts.3.gate_proj.weight_packed",
        "model.decoder.layers.9.input_layernorm.weight",
        "model.decoder.layers.0.encoder_layer_scalar",
        "layers.0.input_layernorm.weight",
        "surprise",
    ],
)
def test_a_tensor_that_belongs_nowhere_is_refused_by_name(
    written: Callable[[Tensors], Path], published: Tensors, name: str
) -> None:
    with pytest.raises(CheckpointError) as refusal:
        load(written(published | {name: torch.ones(1)}))
    message = f"the tensor {name} (F32) is not part of a DiffusionGemma checkpoint"
    assert message in str(refusal.value)


def test_a_quantised_checkpoint_is_refused_as_such(
    written: Callable[[Tensors], Path], published: Tensors
) -> None:
    name = DECODER + "layers.0.mlp.gate_proj.weight"
    packed = published | {name: torch.ones(96, 32, dtype=torch.uint8)}
    with pytest.raises(CheckpointError, match="no quantization_config that says how"):
        load(written(packed | {name + "_scale": torch.ones(96, 4)}))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float8_e4m3fn, torch.int8])
def test_weights_of_a_quantised_dtype_are_refused_even_without_scales(
    written: Callable[[Tensors], Path], published: Tensors, dtype: torch.dtype
) -> None:
    name = DECODER + "layers.0.mlp.gate_proj.weight"
    packed = published | {name: published[name].to(dtype)}
    with pytest.raises(CheckpointError, match="no quantization_config that says how"):
        load(written(packed))


@pytest.mark.parametrize("kept", [0.99, 0.5, 0.0])
def test_a_truncated_file_is_refused_by_name(
    written: Callable[[Tensors], Path], published: Tensors, kept: float
) -> None:
    path = written(published) / "model.safetensors"
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(CheckpointError) as refusal:
        load(path.parent)
    assert str(refusal.value).startswith(f"{path}: damaged, truncated or not safetensors: ")


def test_a_file_of_something_else_is_refused(
    written: Callable[[Tensors], Path], published: Tensors
) -> None:
    path = written(published) / "model.safetensors"
    path.write_bytes(b"PK\x03\x04 this is a zip file, or pretends to be one")
    with pytest.raises(CheckpointError, match=r"model\.safetensors: damaged, truncated or not"):
        load(path.parent)


def test_a_missing_file_is_named(tmp_path: Path, calm_folder: Path) -> None:
    shutil.copy(calm_folder / "config.json", tmp_path)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: no such file"):
        load(tmp_path)


@pytest.fixture
def shards(tmp_path: Path, sharded_folder: Path) -> Path:
    return Path(shutil.copytree(sharded_folder, tmp_path / "copy"))


def test_a_missing_shard_is_named(shards: Path) -> None:
    lost = weight_files(shards)[1]
    lost.unlink()
    with pytest.raises(CheckpointError, match=f"{lost}: no such file"):
        load(shards)


@pytest.mark.parametrize("content", [{}, {"weight_map": []}, {"weight_map": {"a": 3}}])
def test_an_index_without_a_map_of_files_is_refused(shards: Path, content: object) -> None:
    index = shards / "model.safetensors.index.json"
    index.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"index\.json: weight_map does not name files"):
        load(shards)
