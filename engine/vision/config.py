"""The vision part of a checkpoint's `config.json`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

CHANNELS = 3
BUDGETS = (70, 140, 280, 560, 1120)
"""Tokens that a picture may be allowed at most."""
_THETA = 100.0
"""Of the reference, for files that do not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionConfig:
    """The tower that turns patches of a picture into soft tokens."""

    hidden_size: int
    mlp_width: int
    num_layers: int
    num_heads: int
    num_key_value_heads: int
    head_dim: int
    epsilon: float
    theta: float
    patch_size: int
    """Pixels along a side of a patch."""
    pooling: int
    """Patches along a side of the square that becomes one token."""
    position_count: int
    """Patches along the longest side that a position is known for."""
    standardize: bool

    @property
    def patch_values(self) -> int:
        """Numbers of one patch."""
        return CHANNELS * self.patch_size**2


def vision_config(raw: dict[str, Any]) -> VisionConfig:
    """Of a config.json's `vision_config`. Raises KeyError, TypeError or ValueError."""
    if raw.get("use_clipped_linears", False):
        raise ValueError("vision_config.use_clipped_linears is true, this engine runs false")
    activation = raw.get("hidden_activation", "gelu_pytorch_tanh")
    if activation != "gelu_pytorch_tanh":
        raise ValueError(f"vision_config.hidden_activation is {activation!r}")
    width, heads = int(raw["hidden_size"]), int(raw["num_attention_heads"])
    # kept under different names by files of different age; "default" and "axial" are the same
    rope = raw.get("rope_parameters") or raw
    return VisionConfig(
        hidden_size=width,
        mlp_width=int(raw["intermediate_size"]),
        num_layers=int(raw["num_hidden_layers"]),
        num_heads=heads,
        num_key_value_heads=int(raw.get("num_key_value_heads") or heads),
        head_dim=int(raw.get("head_dim") or width // heads),
        epsilon=float(raw["rms_norm_eps"]),
        theta=float(rope.get("rope_theta", _THETA)),
        patch_size=int(raw["patch_size"]),
        pooling=int(raw["pooling_kernel_size"]),
        position_count=int(raw["position_embedding_size"]),
        standardize=bool(raw.get("standardize", False)),
    )
