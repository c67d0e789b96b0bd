"""A tiny random checkpoint on which rounding does not grow from step to step.

With most random weights self-conditioning and routing amplify a rounding difference about fifty
times a step, so two right implementations part after a few. Small matrices and sharp routers keep
it calm, while random norm weights and scalars make every formula matter.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from reference import Reference
from transformers import (
    DiffusionGemmaConfig,
    DiffusionGemmaForBlockDiffusion,
    DiffusionGemmaTextConfig,
    Gemma4VisionConfig,
)
from transformers.models.diffusion_gemma.generation_diffusion_gemma import (
    DiffusionGemmaGenerationConfig,
    EntropyBoundSamplerConfig,
)

CANVAS_LENGTH = 32
WINDOW = 16
END_TOKENS = [1, 106, 50]
SPREAD = 0.3
"""Of embeddings, norm weights and, times one over the root of the inputs, matrices."""
ROUTER_SPREAD = 1.0

TEXT: dict[str, Any] = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_global_key_value_heads": 1,
    "head_dim": 16,
    "global_head_dim": 32,
    "layer_types": ["sliding_attention"] * 3 + ["full_attention"],
    "sliding_window": WINDOW,
    "num_experts": 8,
    "top_k_experts": 2,
    "moe_intermediate_size": 32,
    "use_bidirectional_attention": "vision",
    "max_position_embeddings": 4096,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": 2,
    "final_logit_softcapping": 30.0,
}
VISION: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "global_head_dim": 16,
    "pooling_kernel_size": 3,
    "patch_size": 4,
    "position_embedding_size": 64,
    "standardize": True,
    "use_clipped_linears": False,
}
TOP: dict[str, Any] = {
    "canvas_length": CANVAS_LENGTH,
    "boi_token_id": 500,
    "eoi_token_id": 501,
    "image_token_id": 502,
    "eos_token_id": END_TOKENS,
}


def build_calm(seed: int = 0) -> Reference:
    """The network in fp32: three sliding layers and a full one, eight experts, 0.4 M parameters."""
    config = DiffusionGemmaConfig(
        text_config=DiffusionGemmaTextConfig(**TEXT),
        vision_config=Gemma4VisionConfig(**VISION),
        **TOP,
    )
    torch.manual_seed(seed)
    model: Reference = DiffusionGemmaForBlockDiffusion(config).eval().float()
    _randomise(model, torch.Generator().manual_seed(seed + 1))
    model.tie_weights()
    model.generation_config = DiffusionGemmaGenerationConfig(
        max_new_tokens=256,
        max_denoising_steps=48,
        sampler_config=EntropyBoundSamplerConfig(entropy_bound=0.1),
        t_min=0.4,
        t_max=0.8,
        stability_threshold=1,
        confidence_threshold=0.005,
        eos_token_id=END_TOKENS,
        pad_token_id=0,
    )
    return model


def save_calm(folder: Path) -> None:
    """One file, fp32."""
    build_calm().save_pretrained(folder)


def save_calm_sharded(folder: Path) -> None:
    """The same weights in BF16, in several files with an index."""
    build_calm().to(torch.bfloat16).save_pretrained(folder, max_shard_size="200KB")


@torch.no_grad()
def _randomise(model: Reference, generator: torch.Generator) -> None:
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if name.endswith(("inv_freq", "layer_scalar", "std_bias")) or "embed_scale" in name:
            continue
        noise = torch.randn(tensor.shape, generator=generator)
        if tensor.ndim == 1:
            tensor.copy_(1.0 + SPREAD * noise)
        elif "embed_tokens" in name:
            tensor.copy_(SPREAD * noise)
        else:
            spread = ROUTER_SPREAD if "router" in name else SPREAD
            tensor.copy_(spread * tensor.shape[-1] ** -0.5 * noise)
    encoder, decoder = model.model.encoder.language_model.layers, model.model.decoder.layers
    for index, (causal, canvas) in enumerate(zip(encoder, decoder, strict=True)):
        # unequal, so that taking one for the other shows
        causal.layer_scalar.fill_(0.5 + 0.1 * index)
        canvas.layer_scalar.fill_(0.55 + 0.1 * index)
