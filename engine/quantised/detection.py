"""Which layout a checkpoint says it has: `quantization_config` in its config.json, or ModelOpt's
file beside it. What is not known is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palimpsest.engine.config import read_json
from palimpsest.engine.errors import CheckpointError
from palimpsest.engine.quantised.float8 import Float8
from palimpsest.engine.quantised.ignored import Ignored
from palimpsest.engine.quantised.lowbit import LowBitExperts
from palimpsest.engine.quantised.nvfp4 import COMPRESSED_TENSORS, GROUP, MODELOPT
from palimpsest.engine.quantised.scheme import Scheme
from palimpsest.kernels.lowbit import Bits

KEY = "quantization_config"
MODELOPT_FILE = "hf_quant_config.json"
OWN: Mapping[str, Bits] = {"w6a8": 6, "w4a8": 4}
"""Our own formats, and the bits of their experts."""
OWN_LAYOUT = 2
"""Counts up when bytes come to mean something else."""
SUPPORTED = (
    Float8().name,
    COMPRESSED_TENSORS.name,
    MODELOPT.name,
    *(f"palimpsest {name}" for name in OWN),
)

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantisation:
    """How a checkpoint is quantised."""

    scheme: Scheme
    """Of linear layers that are no experts."""
    experts: tuple[Scheme, Scheme]
    """Of an expert's gate and up projection, and of its down projection."""
    ignored: Ignored
    source: Path
    """The file that says so."""

    @property
    def name(self) -> str:
        """As refusals and `palimpsest inspect` call it."""
        return self.experts[0].name

    @property
    def joined(self) -> bool:
        """Whether an expert's gate and up projection are one matrix."""
        return isinstance(self.experts[0], LowBitExperts)

    def of(self, linear: str) -> Scheme:
        """What the tensors of a linear layer mean."""
        if ".experts." not in linear:
            return self.scheme
        return self.experts[linear.endswith("down_proj")]


def detect(folder: Path) -> Quantisation | None:
    """How the checkpoint in `folder` is quantised; None where it is not. Raises CheckpointError."""
    path = folder / "config.json"
    said = read_json(path).get(KEY)
    if said is None and (folder / MODELOPT_FILE).exists():
        path = folder / MODELOPT_FILE
        said = {"quant_method": "modelopt", **read_json(path)}
    if said is None:
        return None
    try:
        if not isinstance(said, dict):
            raise ValueError(f"is {type(said).__name__}, not an object")
        scheme, *experts = _schemes(said)
        ignored = Ignored.of(_ignored(said))
        gate_up, down = experts or (scheme, scheme)
        return Quantisation(scheme=scheme, experts=(gate_up, down), ignored=ignored, source=path)
    except ValueError as wrong:
        raise CheckpointError(f"{path}: {KEY}: {wrong}") from None


def _schemes(said: Json) -> list[Scheme]:
    """Of all linear layers, and of experts if they have others."""
    method = said.get("quant_method")
    match method:
        case "compressed-tensors":
            return [_compressed_tensors(said)]
        case "modelopt":
            return [_modelopt(said)]
        case "palimpsest":
            return [Float8(), *_own(said)]
    raise _unknown(f"quant_method {method!r}")


def _compressed_tensors(said: Json) -> Scheme:
    kind = said.get("format")
    sparsity = said.get("sparsity_config") or {}
    if sparsity.get("format", "dense") != "dense":
        raise _unknown(f"sparsity_config with the format {sparsity['format']!r}")
    match kind:
        case "float-quantized":
            _require(said, num_bits=8, type="float", strategy="channel")
            return Float8()
        case "nvfp4-pack-quantized":
            _require(said, num_bits=4, type="float", strategy="tensor_group", group_size=GROUP)
            return COMPRESSED_TENSORS
    raise _unknown(f"compressed-tensors with the format {kind!r}")


def _modelopt(said: Json) -> Scheme:
    algorithm = _of_modelopt(said).get("quant_algo")
    if algorithm != "NVFP4":
        raise _unknown(f"modelopt with the quant_algo {algorithm!r}")
    return MODELOPT


def _own(said: Json) -> list[Scheme]:
    kind, layout = str(said.get("format")), said.get("layout")
    if kind not in OWN or layout != OWN_LAYOUT:
        raise _unknown(f"palimpsest with the format {kind!r}, layout {layout!r}")
    return [LowBitExperts(bits=OWN[kind], gated=gated) for gated in (True, False)]


def _of_modelopt(said: Json) -> Json:
    """Its own file has one object more around what matters."""
    inner = said.get("quantization")
    return inner if isinstance(inner, dict) else said


def _ignored(said: Json) -> list[str]:
    if said.get("quant_method") == "modelopt":
        said = _of_modelopt(said)
    entries = said.get("ignore") or said.get("exclude_modules") or []
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise ValueError("ignore is not a list of names")
    return entries


def _require(said: Json, **wanted: object) -> None:
    """Refuses groups of layers whose weights are quantised in another way than the format says."""
    groups = said.get("config_groups")
    if not isinstance(groups, dict) or not groups:
        raise ValueError("config_groups is missing")
    for name, group in groups.items():
        weights = group.get("weights") if isinstance(group, dict) else None
        for key, value in wanted.items():
            found = weights.get(key) if isinstance(weights, dict) else None
            if found != value:
                raise _unknown(f"{name} whose weights have {key} {found!r} instead of {value!r}")


def _unknown(what: str) -> ValueError:
    return ValueError(f"{what} is not supported; supported are {', '.join(SUPPORTED)}")
