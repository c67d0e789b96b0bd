"""Checkpoints in the published quantised layouts, written by hand, stand for the right weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import published
import pytest
import torch
from published import DECODER, ENCODER, Published
from torch import Tensor

from palimpsest.engine.config import read_config
from palimpsest.engine.errors import CheckpointError
from palimpsest.engine.memory import weight_bytes
from palimpsest.engine.quantised.reading import Target, Weights
from palimpsest.engine.weights import contents_of, load_model, read_weights
from palimpsest.kernels.quantise import quantise_rows

CPU = torch.device("cpu")
EXPERTS = r"layers\.\d+\.experts\.\d+\..*"
DENSE = rf"{EXPERTS}|layers\.\d+\.mlp\..*"
ALL = rf"{DENSE}|layers\.\d+\.self_attn\..*"


def fp8(calm: Path) -> Published:
    return published.published(calm, published.FP8, published.fp8_linear, ALL)


def nvfp4(calm: Path) -> Published:
    return published.published(calm, published.NVFP4, published.nvfp4_linear, DENSE)


def modelopt(calm: Path) -> Published:
    return published.published(calm, published.MODELOPT, published.modelopt_linear, EXPERTS)


LAYOUTS = {"fp8": fp8, "nvfp4": nvfp4, "modelopt": modelopt}


@pytest.fixture(params=LAYOUTS)
def checkpoint(request: pytest.FixtureRequest, calm_folder: Path) -> Published:
    """Of each layout in turn."""
    return LAYOUTS[request.param](calm_folder)


def load(folder: Path, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    return dict(load_model(folder, read_config(folder), dtype=dtype, device=CPU).state_dict())


def kept(folder: Path) -> Weights:
    target = Target(dtype=torch.bfloat16, device=CPU, keep_codes=True)
    config = read_config(folder)
    return read_weights(contents_of(folder, config), target, lambda done, total: None)


def of_linear(tensors: Mapping[str, Tensor], linear: str) -> Tensor:
    """The part of the network's tensors that a published linear layer is, found independently."""
    expert = re.fullmatch(r"(layers\.\d+\.experts)\.(\d+)\.(gate|up|down)_proj", linear)
    if expert is None:
        return tensors[f"{linear}.weight"]
    stem, number, part = expert[1], int(expert[2]), expert[3]
    if part == "down":
        return tensors[f"{stem}.down_proj"][number]
    both = tensors[f"{stem}.gate_up_proj"][number]
    half = len(both) // 2
    return both[:half] if part == "gate" else both[half:]


def assert_means(tensors: Mapping[str, Tensor], wanted: Mapping[str, np.ndarray]) -> None:
    for linear, values in wanted.items():
        assert np.array_equal(of_linear(tensors, linear).numpy(), values), linear


def refused(folder: Path) -> str:
    with pytest.raises(CheckpointError) as refusal:
        load(folder)
    return str(refusal.value)


def test_every_linear_layer_is_what_its_bytes_stand_for(
    checkpoint: Published, tmp_path: Path
) -> None:
    assert_means(load(checkpoint.write(tmp_path)), checkpoint.meaning)


def test_tensors_of_one_linear_layer_may_be_in_different_files(
    checkpoint: Published, tmp_path: Path
) -> None:
    assert_means(load(checkpoint.write(tmp_path, shards=3)), checkpoint.meaning)


def test_weights_are_rounded_once_to_the_dtype_they_are_served_in(
    checkpoint: Published, tmp_path: Path
) -> None:
    tensors = load(checkpoint.write(tmp_path), torch.bfloat16)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}
    for linear, values in checkpoint.meaning.items():
        assert torch.equal(of_linear(tensors, linear), torch.from_numpy(values).bfloat16())


def test_full_layers_have_no_values_of_their_own(checkpoint: Published, tmp_path: Path) -> None:
    folder = checkpoint.write(tmp_path)
    network = load_model(folder, read_config(folder), dtype=torch.float32, device=CPU)
    projections = [layer.self_attn.v_proj for layer in network.layers]  # type: ignore[union-attr]
    assert [projection is None for projection in projections] == [False, False, False, True]


def test_encoder_copies_are_passed_over_in_either_layout(
    checkpoint: Published, tmp_path: Path
) -> None:
    twins = {
        name.replace(DECODER, ENCODER): raw
        for name, raw in checkpoint.tensors.items()
        if ".experts." in name or ".mlp." in name
    }
    both = replace(checkpoint, tensors=checkpoint.tensors | twins)
    assert_means(load(both.write(tmp_path)), checkpoint.meaning)


def test_text_weights_may_have_the_encoders_names_alone(
    checkpoint: Published, tmp_path: Path
) -> None:
    decoder_only = ("layer_scalar", "self_conditioning")
    moved = {
        name if any(word in name for word in decoder_only) else name.replace(DECODER, ENCODER): raw
        for name, raw in checkpoint.tensors.items()
    }
    folder = replace(checkpoint, tensors=moved).write(tmp_path)
    assert_means(load(folder), checkpoint.meaning)


def test_scales_of_activations_may_be_absent(checkpoint: Published, tmp_path: Path) -> None:
    unneeded = ("input_scale", "input_global_scale")
    tensors = {name: x for name, x in checkpoint.tensors.items() if not name.endswith(unneeded)}
    folder = replace(checkpoint, tensors=tensors).write(tmp_path)
    assert_means(load(folder), checkpoint.meaning)


def test_a_global_scale_may_have_a_dimension_or_none(checkpoint: Published, tmp_path: Path) -> None:
    turned = {
        name: (dtype, array.reshape(() if array.shape == (1,) else (1,)))
        if name.endswith(("_global_scale", "scale_2"))
        else (dtype, array)
        for name, (dtype, array) in checkpoint.tensors.items()
    }
    folder = replace(checkpoint, tensors=turned).write(tmp_path)
    assert_means(load(folder), checkpoint.meaning)


def test_progress_counts_all_bytes_of_all_files(checkpoint: Published, tmp_path: Path) -> None:
    folder = checkpoint.write(tmp_path, shards=3)
    reports: list[tuple[int, int]] = []
    config = read_config(folder)
    load_model(
        folder,
        config,
        dtype=torch.float32,
        device=CPU,
        progress=lambda done, total: reports.append((done, total)),
    )
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    headers = 0.2 * size
    assert reports == sorted(reports)
    assert size - headers < reports[-1][0] <= reports[-1][1] == size


def test_codes_of_fp8_stay_as_they_are_for_kernels_that_read_them(
    calm_folder: Path, tmp_path: Path
) -> None:
    checkpoint = fp8(calm_folder)
    weights = kept(checkpoint.write(tmp_path))
    eight = {name for name, x in weights.tensors.items() if x.dtype == torch.float8_e4m3fn}
    assert eight == weights.scales.keys()
    exact = {
        name: x.float() * weights.scales[name][..., None] if name in eight else x.float()
        for name, x in weights.tensors.items()
    }
    assert_means(exact, checkpoint.meaning)
    # rows of gates and up projections are kept in one tensor, with one scale each
    assert weights.scales["layers.0.experts.gate_up_proj"].shape == (8, 64)
    assert weights.tensors["layers.0.router.proj.weight"].dtype == torch.bfloat16


def test_kept_codes_are_counted_as_one_byte(calm_folder: Path, tmp_path: Path) -> None:
    folder = fp8(calm_folder).write(tmp_path)
    contents, weights = contents_of(folder, read_config(folder)), kept(folder)
    eight = sum(x.numel() for x in weights.tensors.values() if x.dtype == torch.float8_e4m3fn)
    sizes = [weight_bytes(contents, torch.bfloat16, keep_codes=k) for k in (False, True)]
    assert sizes[0] - sizes[1] == eight


@pytest.mark.parametrize("layout", ["nvfp4", "modelopt"])
def test_codes_of_four_bits_come_to_the_kernels_in_eight(
    calm_folder: Path, tmp_path: Path, layout: str
) -> None:
    folder = LAYOUTS[layout](calm_folder).write(tmp_path)
    weights, expanded = kept(folder), load(folder)
    eight = {name for name, x in weights.tensors.items() if x.dtype == torch.float8_e4m3fn}
    assert eight == weights.scales.keys()
    assert {name for name in expanded if ".experts." in name} <= eight
    assert ("layers.0.mlp.down_proj.weight" in eight) == (layout == "nvfp4")
    for name in eight:
        values, scales = quantise_rows(expanded[name])
        assert torch.equal(weights.tensors[name].float(), values.float())
        assert torch.equal(weights.scales[name], scales)


def test_a_missing_scale_is_named(checkpoint: Published, tmp_path: Path) -> None:
    lost = DECODER + "layers.2.experts.5.up_proj.weight_scale"
    tensors = {name: raw for name, raw in checkpoint.tensors.items() if name != lost}
    folder = replace(checkpoint, tensors=tensors).write(tmp_path)
    assert refused(folder) == f"{folder}: 1 tensors are missing, the first is {lost}"


def test_a_missing_expert_is_named(checkpoint: Published, tmp_path: Path) -> None:
    lost = DECODER + "layers.2.experts.5."
    tensors = {name: x for name, x in checkpoint.tensors.items() if not name.startswith(lost)}
    folder = replace(checkpoint, tensors=tensors).write(tmp_path)
    assert refused(folder) == f"{folder}: 3 tensors are missing, the first is {lost}gate_proj"


def test_codes_of_another_shape_are_refused_with_both_shapes(
    checkpoint: Published, tmp_path: Path
) -> None:
    name = DECODER + "layers.0.experts.0.down_proj.weight_scale"
    dtype, array = checkpoint.tensors[name]
    wrong = checkpoint.tensors | {name: (dtype, array[1:])}
    folder = replace(checkpoint, tensors=wrong).write(tmp_path)
    rows, columns = array.shape
    found, asked = [rows - 1, columns], [rows, columns]
    message = f"the tensor {name} has shape {found}, config.json asks for {asked}"
    assert refused(folder) == f"{folder}: {message}"


def test_codes_of_another_dtype_are_refused(checkpoint: Published, tmp_path: Path) -> None:
    name = DECODER + "layers.0.experts.0.down_proj.weight_scale"
    shape = checkpoint.tensors[name][1].shape
    wrong = checkpoint.tensors | {name: ("U8", np.ones(shape, "u1"))}
    folder = replace(checkpoint, tensors=wrong).write(tmp_path)
    assert f"the tensor {name} is U8, its layout asks for " in refused(folder)


def test_a_truncated_shard_is_refused_before_anything_is_read(
    checkpoint: Published, tmp_path: Path
) -> None:
    folder = checkpoint.write(tmp_path, shards=3)
    path = sorted(folder.glob("*.safetensors"))[-1]
    path.write_bytes(path.read_bytes()[:-5])
    assert refused(folder).startswith(f"{path}: damaged, truncated or not safetensors: ")


def test_a_tensor_that_belongs_nowhere_is_named(checkpoint: Published, tmp_path: Path) -> None:
    name = DECODER + "layers.0.experts.0.down_proj.weight_zero_point"
    more = checkpoint.tensors | {name: ("F32", np.ones(1, "<f4"))}
    folder = replace(checkpoint, tensors=more).write(tmp_path)
    assert f"the tensor {name} (F32) is not part of a Diff" in refused(folder)
