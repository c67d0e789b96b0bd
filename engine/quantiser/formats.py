"""The formats that `palimpsest quantize` writes: which linear layers become what, and what
config.json says of it.

Router, embedding, norms, self-conditioning and vision keep their dtype in all of them, as in the
published quantised checkpoints.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from palimpsest.engine.quantised.detection import OWN, OWN_LAYOUT
from palimpsest.engine.quantised.float8 import Float8
from palimpsest.engine.quantised.lowbit import LowBitExperts
from palimpsest.engine.quantised.nvfp4 import COMPRESSED_TENSORS
from palimpsest.engine.quantised.scheme import Codec

Json = Mapping[str, Any]

GROUPS = ("attention", "dense MLP", "experts")
"""Of linear layers, as errors are told."""
_GROUP_OF = {"self_attn": GROUPS[0], "mlp": GROUPS[1], "experts": GROUPS[2]}
_LINEAR = re.compile(r"layers\.(\d+)\.(self_attn|mlp|experts)\..*_proj")
_KEPT = [
    "lm_head",
    "re:.*embed.*",
    "re:.*router",
    "re:.*vision_tower.*",
    "re:.*self_conditioning.*",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One of them."""

    codecs: Mapping[str, Codec]
    """By group; groups that are not there keep their dtype."""
    gate_up: Codec | None = None
    """Of an expert's gate and up projection, where they are one matrix."""
    error: str
    """Of weights, as people are told it before."""
    config: Json
    """The `quantization_config`."""

    @property
    def joined(self) -> bool:
        """Whether an expert's gate and up projection are one matrix."""
        return self.gate_up is not None

    def codec(self, linear: str) -> Codec | None:
        """What a linear layer becomes; None where it stays as it is."""
        if linear.endswith("gate_up_proj"):
            return self.gate_up
        found = layer_and_group(linear)
        return None if found is None else self.codecs.get(found[1])


def layer_and_group(linear: str) -> tuple[int, str] | None:
    """Of a linear layer; None of those that no format quantises."""
    match = _LINEAR.fullmatch(linear)
    return None if match is None else (int(match[1]), _GROUP_OF[match[2]])


def shares_scale(linear: str) -> tuple[str, ...]:
    """The linear layers that have one global scale where there is one: a gate and its up
    projection, which kernels run as one.
    """
    stem, _, last = linear.rpartition(".")
    if last not in ("gate_proj", "up_proj"):
        return (linear,)
    return f"{stem}.gate_proj", f"{stem}.up_proj"


def _compressed_tensors(
    kind: str, weights: Json, activations: Json | None, ignore: list[str]
) -> Json:
    group = {
        "targets": ["Linear"],
        "weights": weights,
        "input_activations": activations,
        "output_activations": None,
        "format": None,
    }
    return {
        "config_groups": {"group_0": group},
        "quant_method": "compressed-tensors",
        "kv_cache_scheme": None,
        "format": kind,
        "quantization_status": "compressed",
        "global_compression_ratio": None,
        "ignore": ignore,
    }


_FLOAT = {"type": "float", "symmetric": True}
_FP8_WEIGHTS = _FLOAT | {"num_bits": 8, "group_size": None, "strategy": "channel", "dynamic": False}
_FP8_ACTIVATIONS = _FLOAT | {
    "num_bits": 8,
    "group_size": None,
    "strategy": "token",
    "dynamic": True,
}
_NVFP4_WEIGHTS = _FLOAT | {
    "num_bits": 4,
    "group_size": 16,
    "strategy": "tensor_group",
    "dynamic": False,
    "scale_dtype": "torch.float8_e4m3fn",
}


def _own(kind: str, error: str) -> Format:
    """Experts in few bits, for kernels that multiply in eight: FP8 stands beside them."""
    gate_up, down = (LowBitExperts(bits=OWN[kind], gated=gated) for gated in (True, False))
    return Format(
        codecs=dict.fromkeys(GROUPS[:2], Float8()) | {GROUPS[2]: down},
        gate_up=gate_up,
        error=error,
        config={
            "quant_method": "palimpsest",
            "format": kind,
            "layout": OWN_LAYOUT,
            "ignore": _KEPT,
        },
    )


FORMATS: Mapping[str, Format] = {
    "fp8-dynamic": Format(
        codecs=dict.fromkeys(GROUPS, Float8()),
        error="2.6 %",
        config=_compressed_tensors("float-quantized", _FP8_WEIGHTS, _FP8_ACTIVATIONS, _KEPT),
    ),
    # activations keep their dtype: rounding them to four bits takes scales that are measured on
    # text, which is not needed to run this
    "nvfp4": Format(
        codecs=dict.fromkeys(GROUPS[1:], COMPRESSED_TENSORS),
        error="9.5 %",
        config=_compressed_tensors(
            "nvfp4-pack-quantized", _NVFP4_WEIGHTS, None, [*_KEPT, "re:.*self_attn"]
        ),
    ),
    "w6a8": _own("w6a8", "2.6 %"),
    "w4a8": _own("w4a8", "10.2 %"),
}
