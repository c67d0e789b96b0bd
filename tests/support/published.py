"""Writes quantised checkpoints in the published layouts, byte by byte with numpy and struct, from
random codes and scales: what they stand for is known without quantising anything. Shares no code
with the project.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

DECODER, ENCODER = "model.decoder.", "model.encoder.language_model."
E2M1 = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
STORED = {"F32": "<f4", "BF16": "<u2", "U8": "u1", "F8_E4M3": "u1"}

Array = np.ndarray[Any, Any]
Raw = tuple[str, Array]
"""A tensor as a file holds it: dtype and, for those that numpy lacks, codes."""


def e4m3(code: int) -> float:
    """Sign, four bits of exponent counted from 7, three of mantissa."""
    exponent, mantissa = code >> 3 & 15, code & 7
    size = mantissa / 8 * 2.0**-6 if exponent == 0 else (1 + mantissa / 8) * 2.0 ** (exponent - 7)
    return -size if code & 128 else size


E4M3 = np.array([e4m3(code) for code in range(256)], dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A checkpoint to be: its tensors, its config, and what its linear layers stand for."""

    tensors: dict[str, Raw]
    config: dict[str, Any]
    meaning: dict[str, Array]
    """fp32, by the linear layer's name below the prefix."""
    files: dict[str, Any] = field(default_factory=dict)
    """More JSON files of the folder."""

    def write(self, folder: Path, *, shards: int = 1) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in {"config.json": self.config, **self.files}.items():
            (folder / name).write_text(json.dumps(content))
        if shards == 1:
            save(folder / "model.safetensors", self.tensors)
            return folder
        # by turns, so that the tensors of one linear layer are in different files
        names = sorted(self.tensors)
        weight_map = {
            name: f"model-{index % shards + 1:05}-of-{shards:05}.safetensors"
            for index, name in enumerate(names)
        }
        for file in set(weight_map.values()):
            kept = {name: self.tensors[name] for name in names if weight_map[name] == file}
            save(folder / file, kept)
        index = {"metadata": {}, "weight_map": weight_map}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        return folder


def save(path: Path, tensors: Mapping[str, Raw]) -> None:
    """A safetensors file: length of the header, header, bytes; wide numbers first, so that each
    begins at a multiple of its size.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    blob = b""
    for name, (dtype, array) in sorted(tensors.items(), key=lambda t: -t[1][1].itemsize):
        data = np.ascontiguousarray(array).tobytes()
        offsets = [len(blob), len(blob) + len(data)]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": offsets}
        blob += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + blob)


def load(path: Path) -> dict[str, Raw]:
    """The tensors of a file, BF16 as codes."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors: dict[str, Raw] = {}
    for name, tensor in header.items():
        first, last = (8 + length + offset for offset in tensor["data_offsets"])
        codes = np.frombuffer(data[first:last], STORED[tensor["dtype"]])
        tensors[name] = tensor["dtype"], codes.reshape(tensor["shape"])
    return tensors


def bf16(values: Array) -> Raw:
    """The upper halves of fp32 numbers."""
    bits = np.ascontiguousarray(values, dtype="<f4").view("<u4")
    return "BF16", (bits >> 16).astype("<u2")


def of_bf16(raw: Raw) -> Array:
    return (raw[1].astype("<u4") << 16).view("<f4")


Random = np.random.Generator
Linear = Callable[[Random, int, int], tuple[dict[str, Raw], Array]]
"""From a random generator and the shape: the tensors by the last parts of their names, and what
they stand for."""


def fp8_linear(random: Random, rows: int, columns: int) -> tuple[dict[str, Raw], Array]:
    # all codes but 127 and 255, which are no numbers
    codes = random.integers(0, 127, (rows, columns)) + 128 * random.integers(0, 2, (rows, columns))
    scales = bf16(random.uniform(0.5, 2.0, (rows, 1)) * 1e-3)
    tensors = {"weight": ("F8_E4M3", codes.astype("u1")), "weight_scale": scales}
    return tensors, E4M3[codes] * of_bf16(scales)


def _e2m1_pairs(random: Random, rows: int, columns: int) -> tuple[Array, Array]:
    """Bytes, the even column in the low nibble, and their values."""
    codes = random.integers(0, 16, (rows, columns))
    pairs = codes[:, 0::2] | codes[:, 1::2] << 4
    magnitudes = np.array(E2M1, dtype=np.float32)[codes & 7]
    return pairs.astype("u1"), np.where(codes & 8, -magnitudes, magnitudes)


def _group_scales(random: Random, rows: int, columns: int) -> tuple[Array, Array]:
    codes = random.integers(1, 127, (rows, columns // 16)).astype("u1")
    return codes, E4M3[codes]


def nvfp4_linear(random: Random, rows: int, columns: int) -> tuple[dict[str, Raw], Array]:
    """As compressed-tensors writes it: what is stored is divided by the global scale."""
    pairs, values = _e2m1_pairs(random, rows, columns)
    codes, scales = _group_scales(random, rows, columns)
    whole = np.array([random.uniform(3e3, 9e3)], dtype=np.float32)
    tensors: dict[str, Raw] = {
        "weight_packed": ("U8", pairs),
        "weight_scale": ("F8_E4M3", codes),
        "weight_global_scale": ("F32", whole),
        "input_global_scale": ("F32", np.array([17.0], dtype=np.float32)),
    }
    return tensors, values * np.repeat(scales / whole, 16, axis=1)


def modelopt_linear(random: Random, rows: int, columns: int) -> tuple[dict[str, Raw], Array]:
    """As ModelOpt writes it: what is stored is multiplied by the global scale, a number without
    dimensions."""
    pairs, values = _e2m1_pairs(random, rows, columns)
    codes, scales = _group_scales(random, rows, columns)
    whole = np.array(random.uniform(1e-4, 3e-4), dtype=np.float32)
    tensors: dict[str, Raw] = {
        "weight": ("U8", pairs),
        "weight_scale": ("F8_E4M3", codes),
        "weight_scale_2": ("F32", whole),
        "input_scale": ("F32", np.array(0.02, dtype=np.float32)),
    }
    return tensors, values * np.repeat(scales * whole, 16, axis=1)


RED_HAT_IGNORE = [
    "lm_head",
    "re:.*embed.*",
    "re:.*router",
    "re:.*vision_tower.*",
    "re:.*self_conditioning.*",
]
COMPRESSED: dict[str, Any] = {
    "quant_method": "compressed-tensors",
    "quantization_status": "compressed",
    "kv_cache_scheme": None,
    "ignore": RED_HAT_IGNORE,
}


def _group(**weights: object) -> dict[str, Any]:
    return {"group_0": {"targets": ["Linear"], "weights": {"symmetric": True, **weights}}}


FP8 = COMPRESSED | {
    "format": "float-quantized",
    "config_groups": _group(num_bits=8, type="float", strategy="channel", dynamic=False),
}
NVFP4 = COMPRESSED | {
    "format": "nvfp4-pack-quantized",
    "config_groups": _group(num_bits=4, type="float", strategy="tensor_group", group_size=16),
    "ignore": [*RED_HAT_IGNORE, "re:.*self_attn"],
}
MODELOPT = {
    "quant_method": "modelopt",
    "quant_algo": "NVFP4",
    "producer": {"name": "modelopt", "version": "0.37.0"},
    "ignore": [f"model.decoder.layers.{i}.{m}*" for i in range(4) for m in ("self_attn", "mlp")],
}


def published(
    calm: Path, said: Mapping[str, Any], linear: Linear, layers: str, *, seed: int = 0
) -> Published:
    """The calm checkpoint with every linear layer whose name matches `layers` written by `linear`,
    experts one by one, and all else in BF16.
    """
    random = np.random.default_rng(seed)
    tensors: dict[str, Raw] = {}
    meaning: dict[str, Array] = {}
    for name, shape in _linears(load_file(calm / "model.safetensors")).items():
        if isinstance(shape, np.ndarray):
            tensors[name] = bf16(shape)
            continue
        below = name.removeprefix(DECODER)
        if re.fullmatch(layers, below):
            parts, meaning[below] = linear(random, *shape)
            tensors |= {f"{name}.{last}": raw for last, raw in parts.items()}
        else:
            plain = bf16(random.standard_normal(shape) * 0.05)
            tensors[f"{name}.weight"], meaning[below] = plain, of_bf16(plain)
    config = json.loads((calm / "config.json").read_text()) | {"quantization_config": dict(said)}
    return Published(tensors=tensors, config=config, meaning=meaning)


def _linears(tensors: Mapping[str, Array]) -> dict[str, Array | tuple[int, int]]:
    """Shapes of linear layers under their names, all other tensors as they are."""
    found: dict[str, Array | tuple[int, int]] = {}
    for name, array in tensors.items():
        experts = name.rpartition(".")[0]
        if name.endswith("experts.gate_up_proj"):
            for expert in range(len(array)):
                half = (array.shape[1] // 2, array.shape[2])
                found |= {f"{experts}.{expert}.{part}_proj": half for part in ("gate", "up")}
        elif name.endswith("experts.down_proj"):
            for expert in range(len(array)):
                found[f"{experts}.{expert}.down_proj"] = array.shape[1:]
        elif re.search(r"decoder\.layers\..*_proj\.weight", name):
            found[name.removesuffix(".weight")] = array.shape
        else:
            found[name] = array
    return found
