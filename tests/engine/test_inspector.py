"""`palimpsest inspect` on the bundled model and on headers of the released size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from released import write_released

from palimpsest.engine.inspector.command import main
from palimpsest.engine.inspector.room import memory_size

EXPERTS = 22_837_985_280
FEW = {"num_hidden_layers": 2, "num_experts": 4}
"""Experts of the released size, but few of them."""
EXPERTS_OF_FEW = 2 * 4 * 3 * 704 * 2816
PARAMETERS = 25_250_986_752


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_released(tmp_path_factory.mktemp("released") / "bf16", None)


def test_all_weights_of_the_bundled_model_are_in_a_group(
    capsys: pytest.CaptureFixture[str], bundled_folder: Path
) -> None:
    found = told(capsys, "bundled")
    size = (bundled_folder / "model.safetensors").stat().st_size
    assert 0.99 * size < found["file_bytes"] < size
    assert "copies and other" not in found["groups"]
    assert found["format"] == "BF16 or wider, not quantised"


def test_the_released_size_is_counted_from_headers(
    capsys: pytest.CaptureFixture[str], released: Path
) -> None:
    found = told(capsys, str(released), "--gpu-memory", "80GB")
    # the layer scalars of both modes are no parameters
    assert found["parameters"] - 60 == PARAMETERS
    assert found["groups"]["experts"]["parameters"] == EXPERTS
    assert found["groups"]["experts"]["file_bytes"] == 2 * EXPERTS
    assert found["file_bytes"] == 2 * (PARAMETERS + 30)
    contexts = found["room"]["longest_context_by_canvases"]
    assert contexts["1"] == 262_144
    assert sorted(contexts.values(), reverse=True) == list(contexts.values())


def test_what_does_not_fit_is_said(capsys: pytest.CaptureFixture[str], released: Path) -> None:
    assert main([str(released), "--gpu-memory", "24GB"]) == 0
    assert capsys.readouterr().out.count("does not fit") == 7


@pytest.mark.parametrize(
    ("format", "bits"), [("fp8-dynamic", 8), ("nvfp4", 4.5), ("w6a8", 6.21), ("w4a8", 4.21)]
)
def test_every_format_has_the_bits_that_it_says(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, format: str, bits: float
) -> None:
    found = told(capsys, str(write_released(tmp_path / format, format, **FEW)))
    assert found["groups"]["experts"]["parameters"] == EXPERTS_OF_FEW
    # scales of rows are not in the bits; 704 columns are no whole number of tiles
    assert 8 * found["groups"]["experts"]["file_bytes"] / EXPERTS_OF_FEW == pytest.approx(
        bits, rel=0.01
    )


@pytest.mark.parametrize("format", ["fp8-dynamic", "nvfp4"])
def test_fused_kernels_hold_fp8_and_nvfp4_in_eight_bits_and_plain_ones_do_not(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, format: str
) -> None:
    folder = str(write_released(tmp_path / format, format, **FEW))
    fused = told(capsys, folder, "--gpu-memory", "24GB", "--kernels", "fused")
    plain = told(capsys, folder, "--gpu-memory", "24GB")
    assert fused["groups"]["experts"]["memory_bytes"] == EXPERTS_OF_FEW
    assert plain["groups"]["experts"]["memory_bytes"] == 2 * EXPERTS_OF_FEW
    saved = plain["room"]["weights_bytes"] - fused["room"]["weights_bytes"]
    assert saved > EXPERTS_OF_FEW


def test_an_output_head_in_eight_bits_is_one_more_copy_of_the_embedding(
    capsys: pytest.CaptureFixture[str], released: Path
) -> None:
    place = (str(released), "--gpu-memory", "80GB", "--kernels", "fused")
    rooms = [told(capsys, *place, *flags)["room"] for flags in ((), ("--fp8-lm-head",))]
    usual, eight = (room["weights_bytes"] for room in rooms)
    # a number of eight bits each, and a scale of 32 for each token
    assert eight - usual == 262_144 * (2816 + 4)
    usual, eight = (room["longest_context_by_canvases"]["64"] for room in rooms)
    assert 0 < eight < usual


@pytest.mark.parametrize(
    ("text", "size"), [("24GB", 24e9), ("24", 24e9), ("80GiB", 80 * 2**30), ("1.5 tb", 1.5e12)]
)
def test_sizes_are_read(text: str, size: float) -> None:
    assert memory_size(text) == size


@pytest.mark.parametrize("text", ["", "0GB", "-3GB", "24XB", "GB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size such as 24GB or 80GiB"):
        memory_size(text)


def test_bad_input_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["/nowhere"]) == 2
    assert capsys.readouterr().err.startswith("palimpsest inspect: path /nowhere: no such folder")
    assert main(["bundled", "--gpu-memory-utilization", "7"]) == 2
    assert "--gpu-memory-utilization: 7.0 is not above 0" in capsys.readouterr().err
    assert main(["bundled", "--fp8-lm-head"]) == 2
    assert "--fp8-lm-head: needs --kernels fused" in capsys.readouterr().err
