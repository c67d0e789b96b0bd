"""The codes of an FP8 checkpoint reach the fused kernels as they are in the file."""

from __future__ import annotations

from pathlib import Path

import interpreted as interpreted
import numpy as np
import published
import pytest
import torch
from published import Published

from palimpsest.engine.config import read_config
from palimpsest.engine.gpu.weight_format import WeightFormat
from palimpsest.engine.gpu.weights import NetworkWeights, fp8_head_of
from palimpsest.engine.memory import weight_bytes
from palimpsest.engine.quantised.reading import Target
from palimpsest.engine.quantiser.run import quantise
from palimpsest.engine.weights import contents_of, load_model, network_of, read_weights
from palimpsest.kernels.fused.rounding import Rounded
from palimpsest.kernels.lowbit import LowBit

MATRICES = r"layers\.\d+\.(experts|mlp|self_attn)\..*"


@pytest.fixture(scope="module")
def checkpoint(calm_folder: Path) -> Published:
    return published.published(calm_folder, published.FP8, published.fp8_linear, MATRICES)


@pytest.fixture(scope="module")
def weights(checkpoint: Published, tmp_path_factory: pytest.TempPathFactory) -> NetworkWeights:
    folder = checkpoint.write(tmp_path_factory.mktemp("fp8"))
    config, cpu = read_config(folder), torch.device("cpu")
    target = Target(dtype=torch.bfloat16, device=cpu, keep_codes=True)
    contents = contents_of(folder, config)
    read = read_weights(contents, target, lambda done, total: None)
    return NetworkWeights.of(
        network_of(contents.config, read),
        weight_format=WeightFormat.W8A8,
        scales=read.scales,
    )


def is_meant(made: Rounded, wanted: list[np.ndarray]) -> bool:
    assert made.values.dtype == torch.float8_e4m3fn
    return np.array_equal(made.exact().numpy(), np.concatenate(wanted))


@pytest.mark.parametrize("index", [0, 3])
def test_matrices_of_a_layer_are_what_the_file_means(
    checkpoint: Published, weights: NetworkWeights, index: int
) -> None:
    def meant(*names: str) -> list[np.ndarray]:
        return [checkpoint.meaning[f"layers.{index}.{name}_proj"] for name in names]

    layer = weights.layers[index]
    # the full layer has no projection of values
    parts = ("q", "k", "v") if index == 0 else ("q", "k")
    assert is_meant(layer.qkv, meant(*(f"self_attn.{part}" for part in parts)))
    assert is_meant(layer.output, meant("self_attn.o"))
    assert is_meant(layer.dense.gate_up, meant("mlp.gate", "mlp.up"))
    assert is_meant(layer.dense.down, meant("mlp.down"))
    for expert in range(8):
        gate_up, down = (
            Rounded(both.values[expert], both.scales[expert])  # type: ignore[index]
            for both in (layer.experts.gate_up, layer.experts.down)
        )
        assert is_meant(gate_up, meant(f"experts.{expert}.gate", f"experts.{expert}.up"))
        assert is_meant(down, meant(f"experts.{expert}.down"))


def test_what_is_not_quantised_keeps_its_dtype(weights: NetworkWeights) -> None:
    assert weights.self_conditioning.gate_up.scales is None
    assert {weights.embedding.dtype, weights.layers[0].router.dtype} == {torch.bfloat16}


def test_the_head_in_eight_bits_is_the_embedding_rounded_row_by_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    embedding = torch.randn(50, 24, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr("palimpsest.engine.gpu.weights.TOKENS_AT_ONCE", 16)
    made = fp8_head_of(embedding)
    assert torch.equal(made.exact(), Rounded.of(embedding, quantised=True).exact())


def test_nvfp4_reaches_the_kernels_in_eight_bits(calm_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    quantise(calm_folder, folder, "nvfp4", force=False, progress=lambda done, total: None)
    config, cpu = read_config(folder), torch.device("cpu")
    target = Target(dtype=torch.bfloat16, device=cpu, keep_codes=True)
    read = read_weights(contents_of(folder, config), target, lambda done, total: None)
    kind = WeightFormat.of(read.scales, read.low_bit)
    assert kind is WeightFormat.W8A8
    made = NetworkWeights.of(network_of(config, read), weight_format=kind, scales=read.scales)
    expanded = load_model(folder, config, dtype=torch.float32, device=cpu)
    for layer, plain in zip(made.layers, expanded.layers, strict=True):
        for kept, name, read_as in (
            (layer.experts.down, "experts.down_proj", torch.float32),
            (layer.dense.down, "mlp.down_proj.weight", torch.float32),
            # is not quantised in such files
            (layer.output, "self_attn.o_proj.weight", torch.bfloat16),
        ):
            assert isinstance(kept, Rounded)
            meant = plain.get_parameter(name).detach().to(read_as)
            assert torch.equal(kept.exact(), Rounded.of(meant, quantised=True).exact())


@pytest.mark.parametrize(("format", "bits"), [("w6a8", 6), ("w4a8", 4)])
def test_experts_in_few_bits_reach_the_kernels_as_they_are_in_the_file(
    calm_folder: Path, tmp_path: Path, format: str, bits: int
) -> None:
    folder = tmp_path / "made"
    quantise(calm_folder, folder, format, force=False, progress=lambda done, total: None)
    config, cpu = read_config(folder), torch.device("cpu")
    target = Target(dtype=torch.bfloat16, device=cpu, keep_codes=True)
    contents = contents_of(folder, config)
    read = read_weights(contents, target, lambda done, total: None)
    network = network_of(contents.config, read)
    expanded = load_model(folder, config, dtype=torch.float32, device=cpu)
    kind = WeightFormat.of(read.scales, read.low_bit)
    assert kind.expert_bits == bits
    made = NetworkWeights.of(network, weight_format=kind, scales=read.scales, low_bit=read.low_bit)
    for layer, plain in zip(made.layers, expanded.layers, strict=True):
        for kept, name in (
            (layer.experts.gate_up, "gate_up_proj"),
            (layer.experts.down, "down_proj"),
        ):
            assert isinstance(kept, LowBit)
            assert kept.bits == bits
            assert torch.equal(kept.exact(), plain.get_parameter(f"experts.{name}"))
        assert layer.dense.down.values.dtype == torch.float8_e4m3fn
    held = sum(x.nbytes for x in read.tensors.values())
    held += sum(x.planes.nbytes + x.scales.nbytes for x in read.low_bit.values())
    saved = sum(2 * x.numel() for x in expanded.state_dict().values()) - held
    sizes = [weight_bytes(contents, torch.bfloat16, keep_codes=k) for k in (False, True)]
    assert sizes[0] - sizes[1] == saved
