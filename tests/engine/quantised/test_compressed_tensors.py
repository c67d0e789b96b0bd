"""The library whose layouts are read and written, where it is installed (pip install
compressed-tensors): each side reads what the other wrote.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from palimpsest.engine.quantised.float8 import Float8
from palimpsest.engine.quantised.nvfp4 import COMPRESSED_TENSORS
from palimpsest.engine.quantised.scheme import Codec
from palimpsest.engine.quantiser.formats import FORMATS

# importing it warns of what it finds in other libraries
pytestmark = pytest.mark.filterwarnings("ignore")
CODECS: dict[str, tuple[str, Codec]] = {
    "fp8-dynamic": ("FP8_DYNAMIC", Float8()),
    "nvfp4": ("NVFP4A16", COMPRESSED_TENSORS),
}


def library(module: str) -> Any:  # noqa: ANN401 - it is not there to be checked
    return pytest.importorskip(f"compressed_tensors.{module}")


@pytest.fixture(params=CODECS)
def format(request: pytest.FixtureRequest) -> str:
    return request.param


def scheme_of(format: str) -> Any:  # noqa: ANN401
    return library("quantization").preset_name_to_scheme(CODECS[format][0], ["Linear"])


def compressor_of(format: str) -> Any:  # noqa: ANN401
    compressors = library("compressors").BaseCompressor
    return compressors.get_value_from_registry(str(FORMATS[format].config["format"]))


def weight() -> Tensor:
    return torch.randn(64, 128, generator=torch.Generator().manual_seed(0)).bfloat16() * 0.05


def written_by_the_library(format: str, weight: Tensor) -> dict[str, Tensor]:
    utils = library("quantization.utils")
    scheme, parts = scheme_of(format), {"weight": weight}
    if format == "nvfp4":
        parts["weight_global_scale"] = utils.generate_gparam(weight.amin(), weight.amax())
        groups = weight.unflatten(1, (-1, 16))
        bounds, shared = (groups.amin(-1), groups.amax(-1)), parts["weight_global_scale"]
        scale, _ = utils.calculate_qparams(*bounds, scheme.weights, global_scale=shared)
    else:
        bounds = (weight.amin(1, keepdim=True), weight.amax(1, keepdim=True))
        scale, _ = utils.calculate_qparams(*bounds, scheme.weights)
    return compressor_of(format).compress(parts | {"weight_scale": scale}, scheme)


def test_what_the_library_wrote_is_read(format: str) -> None:
    codec, written = CODECS[format][1], written_by_the_library(format, weight())
    assert written.keys() == codec.parts(64, 128).keys()
    theirs = compressor_of(format).decompress(written, scheme_of(format))["weight"]
    ours = codec.decode(written, rows=64, columns=128)
    assert torch.equal(ours.to(theirs.dtype), theirs)


def test_the_library_reads_what_is_written(format: str) -> None:
    codec = CODECS[format][1]
    parts = codec.encode(weight().float(), largest=float(weight().abs().max()))
    theirs = compressor_of(format).decompress(dict(parts), scheme_of(format))["weight"]
    ours = codec.decode(parts, rows=64, columns=128)
    assert torch.equal(ours.to(theirs.dtype), theirs)


def test_the_library_reads_the_config(format: str) -> None:
    read = library("quantization").QuantizationConfig.model_validate(dict(FORMATS[format].config))
    wanted = scheme_of(format)
    assert read.format == FORMATS[format].config["format"]
    made = read.config_groups["group_0"]
    assert made.weights.model_dump() == wanted.weights.model_dump()
    assert (made.input_activations is None) == (wanted.input_activations is None)
