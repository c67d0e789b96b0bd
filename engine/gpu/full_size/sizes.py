"""The released model's shape, and a toy's, as config.json says it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from palimpsest.engine.config import ModelConfig, model_config

Raw = dict[str, Any]

RELEASED_LAYERS = 30
FULL_EVERY = 6
FEW_CANVASES = 4

_SAME: Raw = {
    "model_type": "diffusion_gemma_text",
    "hidden_activation": "gelu_pytorch_tanh",
    "rms_norm_eps": 1e-6,
    "final_logit_softcapping": 30.0,
    "attention_bias": False,
    "attention_dropout": 0.0,
    "use_bidirectional_attention": "vision",
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": 2,
    "tie_word_embeddings": True,
    "rope_parameters": {
        "full_attention": {
            "rope_type": "proportional",
            "partial_rotary_factor": 0.25,
            "rope_theta": 1e6,
        },
        "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
    },
}
_RELEASED: Raw = {
    "vocab_size": 262_144,
    "hidden_size": 2816,
    "intermediate_size": 2112,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 256,
    "global_head_dim": 512,
    "num_global_key_value_heads": 2,
    "sliding_window": 1024,
    "num_experts": 128,
    "top_k_experts": 8,
    "moe_intermediate_size": 704,
    "max_position_embeddings": 262_144,
}
_TOY: Raw = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "global_head_dim": 32,
    "num_global_key_value_heads": 1,
    "sliding_window": 16,
    "num_experts": 8,
    "top_k_experts": 2,
    "moe_intermediate_size": 32,
    "max_position_embeddings": 1024,
}
_NO_VISION: Raw = {
    "model_type": "gemma4_vision",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "global_head_dim": 16,
    "position_embedding_size": 64,
}
"""A tower that nothing is sent through, as small as can be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is measured, on what."""

    raw: Raw
    device: torch.device
    dtype: torch.dtype
    canvases: Sequence[int]
    contexts: Sequence[int]
    rounds: int
    """Timed passes; the median counts."""
    steps: int
    """Of a canvas, fixed, in the published set-up."""
    answer_canvases: int
    long_contexts: int = 4
    """That there is room for at once."""

    @property
    def config(self) -> ModelConfig:
        return model_config({k: v for k, v in self.raw.items() if k != "vision_config"})

    def brief(self) -> Plan:
        """Of few canvases, which is where fewer bits of weights help, and one long context."""
        few = tuple(count for count in self.canvases if count <= FEW_CANVASES)
        return replace(self, canvases=few, long_contexts=1)

    @property
    def is_timed(self) -> bool:
        """Whether times mean anything."""
        return self.device.type == "cuda"


def plan_for(device: torch.device) -> Plan:
    """The released size on a GPU, a toy's elsewhere."""
    if device.type == "cuda":
        kinds = ["sliding_attention"] * (FULL_EVERY - 1) + ["full_attention"]
        return Plan(
            raw=_raw(_RELEASED, kinds * (RELEASED_LAYERS // FULL_EVERY), canvas_length=256),
            device=device,
            dtype=torch.bfloat16,
            canvases=(1, 2, 4, 8, 16, 32, 64),
            contexts=(1024, 32_768),
            rounds=20,
            steps=16,
            answer_canvases=4,
        )
    return Plan(
        raw=_raw(_TOY, ["sliding_attention", "full_attention"], canvas_length=64),
        device=device,
        dtype=torch.float32,
        canvases=(1,),
        contexts=(64,),
        rounds=1,
        steps=2,
        answer_canvases=1,
    )


def _raw(sizes: Raw, kinds: list[str], *, canvas_length: int) -> Raw:
    return {
        "architectures": ["DiffusionGemmaForBlockDiffusion"],
        "model_type": "diffusion_gemma",
        "canvas_length": canvas_length,
        "eos_token_id": [1, 106, 50],
        "tie_word_embeddings": True,
        "text_config": {**_SAME, **sizes, "num_hidden_layers": len(kinds), "layer_types": kinds},
        "vision_config": _NO_VISION,
    }
