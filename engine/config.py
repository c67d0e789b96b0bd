"""A checkpoint's shape: `config.json` in frozen dataclasses, refused where this engine differs.

Two spellings of the full-attention head sizes exist: `global_head_dim` with
`num_global_key_value_heads`, and `per_layer_config` keyed by layer index. Class defaults of the
reference are never relied on: a missing key is an error, except where noted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palimpsest.engine.errors import CheckpointError
from palimpsest.engine.vision.config import VisionConfig, vision_config

ARCHITECTURE = "DiffusionGemmaForBlockDiffusion"
FULL, SLIDING = "full_attention", "sliding_attention"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rope:
    """Rotary embedding of one kind of layer."""

    theta: float
    rotated_fraction: float
    """1 for sliding layers; the part of the pairs that rotates in full layers."""
    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerConfig:
    """What differs from layer to layer."""

    index: int
    head_dim: int
    num_key_value_heads: int
    window: int | None
    """Keys a causal query sees, itself included; None in full-attention layers."""
    rope: Rope

    @property
    def canvas_window(self) -> int | None:
        """Prefix keys a canvas query sees: the causal window less one, as that counts the query."""
        return None if self.window is None else self.window - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The network of a checkpoint."""

    vocabulary_size: int
    hidden_size: int
    mlp_width: int
    """Width of the dense MLP and of the self-conditioning MLP."""
    num_heads: int
    num_experts: int
    experts_per_token: int
    expert_width: int
    epsilon: float
    logit_softcap: float
    max_context_tokens: int
    canvas_length: int
    end_token_ids: tuple[int, ...]
    pad_token_id: int
    layers: tuple[LayerConfig, ...]
    vision: VisionConfig | None
    """None: it sees no pictures."""


def read_config(folder: Path) -> ModelConfig:
    """Reads `folder`/config.json. Raises CheckpointError naming the file and the key."""
    path = folder / "config.json"
    raw = read_json(path)
    try:
        return model_config(raw)
    except KeyError as missing:
        raise CheckpointError(f"{path}: the key {missing} is missing") from None
    except (TypeError, ValueError) as wrong:
        raise CheckpointError(f"{path}: {wrong}") from None


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises CheckpointError when it is missing or not an object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except (OSError, ValueError) as wrong:
        raise CheckpointError(f"{path}: not readable as JSON: {wrong}") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: holds a {type(value).__name__}, not an object")
    return value


def model_config(raw: dict[str, Any]) -> ModelConfig:
    """Of what a config.json holds. Raises KeyError, TypeError or ValueError that names the key."""
    architectures = raw.get("architectures") or []
    if ARCHITECTURE not in architectures:
        raise ValueError(f"architectures is {architectures}, this server runs {ARCHITECTURE}")
    text = raw["text_config"]
    if not isinstance(text, dict):
        raise ValueError(f"text_config is {type(text).__name__}, not an object")
    _refuse(text, "hidden_activation", "gelu_pytorch_tanh")
    _refuse(text, "attention_bias", False)
    _refuse(text, "use_bidirectional_attention", "vision", None)
    if not raw.get("tie_word_embeddings", True):
        raise ValueError("tie_word_embeddings is false; lm_head must be the embedding")
    return ModelConfig(
        vocabulary_size=int(text["vocab_size"]),
        hidden_size=int(text["hidden_size"]),
        mlp_width=int(text["intermediate_size"]),
        num_heads=int(text["num_attention_heads"]),
        num_experts=int(text["num_experts"]),
        experts_per_token=int(text["top_k_experts"]),
        expert_width=int(text["moe_intermediate_size"]),
        epsilon=float(text["rms_norm_eps"]),
        logit_softcap=float(text["final_logit_softcapping"]),
        max_context_tokens=int(text["max_position_embeddings"]),
        canvas_length=int(raw["canvas_length"]),
        end_token_ids=_ids(raw.get("eos_token_id", text.get("eos_token_id"))),
        pad_token_id=int(text.get("pad_token_id") or 0),
        layers=_layers(text),
        vision=vision_config(raw["vision_config"]) if raw.get("vision_config") else None,
    )


def _refuse(text: dict[str, Any], key: str, *supported: object) -> None:
    if text.get(key, supported[0]) not in supported:
        raise ValueError(f"{key} is {text[key]!r}, this engine runs {supported[0]!r}")


def _ids(value: int | list[int] | None) -> tuple[int, ...]:
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list) else (value,)


def _layers(text: dict[str, Any]) -> tuple[LayerConfig, ...]:
    count = int(text["num_hidden_layers"])
    # the reference's default when the list is missing: every sixth layer full, and always the last
    kinds = text.get("layer_types") or [SLIDING if (i + 1) % 6 else FULL for i in range(count)]
    if len(kinds) != count:
        raise ValueError(f"layer_types has {len(kinds)} entries for {count} layers")
    kinds = [*kinds[:-1], FULL]
    return tuple(_layer(text, index, kind) for index, kind in enumerate(kinds))


def _layer(text: dict[str, Any], index: int, kind: str) -> LayerConfig:
    if kind not in (FULL, SLIDING):
        raise ValueError(f"layer_types[{index}] is {kind!r}, neither {FULL} nor {SLIDING}")
    rope = text["rope_parameters"][kind]
    own = _full_sizes(text, index) if kind == FULL else {}
    return LayerConfig(
        index=index,
        head_dim=int(own.get("head_dim", text["head_dim"])),
        num_key_value_heads=int(own.get("num_key_value_heads", text["num_key_value_heads"])),
        window=None if kind == FULL else int(text["sliding_window"]),
        rope=Rope(
            theta=float(rope["rope_theta"]),
            rotated_fraction=float(rope.get("partial_rotary_factor", 1.0)),
            factor=float(rope.get("factor", 1.0)),
        ),
    )


def _full_sizes(text: dict[str, Any], index: int) -> dict[str, Any]:
    """What a full-attention layer overrides, from either spelling."""
    if "per_layer_config" in text:
        per_layer = text["per_layer_config"]
        return per_layer.get(str(index), per_layer.get(index, {}))
    sizes = {"head_dim": text["global_head_dim"]}
    if text.get("num_global_key_value_heads") is not None:
        sizes["num_key_value_heads"] = text["num_global_key_value_heads"]
    return sizes
