"""The released model's shape with random weights, made on the device layer by layer.

For measuring speed where the weights themselves are not at hand. Numbers are those of its
config.json; what a layer computes does not depend on them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from palimpsest.engine.config import LayerConfig, ModelConfig, Rope
from palimpsest.engine.gpu.weights import LayerWeights, MlpWeights, NetworkWeights
from palimpsest.kernels.fused.after_attention import MlpNorms
from palimpsest.kernels.fused.after_experts import LayerEnd
from palimpsest.kernels.fused.experts import ExpertMatrices
from palimpsest.kernels.fused.heads import HeadNorms
from palimpsest.kernels.fused.rounding import Rounded

LAYERS = 30
FULL_EVERY = 6


def released_config() -> ModelConfig:
    """DiffusionGemma 26B-A4B."""
    return ModelConfig(
        vocabulary_size=262_144,
        hidden_size=2816,
        mlp_width=2112,
        num_heads=16,
        num_experts=128,
        experts_per_token=8,
        expert_width=704,
        epsilon=1e-6,
        logit_softcap=30.0,
        max_context_tokens=262_144,
        canvas_length=256,
        end_token_ids=(1, 106, 50),
        pad_token_id=0,
        layers=tuple(map(_layer_config, range(LAYERS))),
    )


def _layer_config(index: int) -> LayerConfig:
    full = (index + 1) % FULL_EVERY == 0
    return LayerConfig(
        index=index,
        head_dim=512 if full else 256,
        num_key_value_heads=2 if full else 8,
        window=None if full else 1024,
        rope=Rope(theta=1e6 if full else 1e4, rotated_fraction=0.25 if full else 1.0, factor=1.0),
    )


def random_weights(
    config: ModelConfig, *, quantised: bool, device: torch.device, dtype: torch.dtype
) -> NetworkWeights:
    """Weights such that activations keep their size from layer to layer."""
    made = _Random(config, quantised, device, dtype)
    return NetworkWeights(
        embedding=made.matrix(config.vocabulary_size, config.hidden_size).values,
        self_conditioning=made.mlp(quantised=False),
        self_conditioning_norm=made.ones(config.hidden_size),
        layers=tuple(map(made.layer, config.layers)),
    )


class _Random:
    def __init__(
        self, config: ModelConfig, quantised: bool, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.config, self.quantised, self.device, self.dtype = config, quantised, device, dtype
        self.generator = torch.Generator(device).manual_seed(0)

    def layer(self, layer: LayerConfig) -> LayerWeights:
        config = self.config
        hidden, head, groups = config.hidden_size, layer.head_dim, layer.num_key_value_heads
        parts = config.num_heads + (1 if layer.window is None else 2) * groups
        experts, inner = config.num_experts, config.expert_width
        return LayerWeights(
            config=layer,
            input_norm=self.ones(hidden),
            qkv=self.matrix(parts * head, hidden, quantised=self.quantised),
            head_norms=HeadNorms(
                # scores of normalised heads would else be as large as D
                query=self.ones(head) * head**-0.5,
                key=self.ones(head),
                epsilon=config.epsilon,
            ),
            output=self.matrix(hidden, config.num_heads * head, quantised=self.quantised),
            mlp_norms=MlpNorms(
                after_attention=self.ones(hidden),
                dense=self.ones(hidden),
                experts=self.ones(hidden),
                router=self.ones(hidden),
                epsilon=config.epsilon,
            ),
            dense=self.mlp(quantised=self.quantised),
            # as the input is scaled by H^-1/2, scores have a deviation of about 1
            router=self.matrix(experts, hidden).values * hidden**0.5,
            per_expert_scale=self.ones(experts),
            experts=ExpertMatrices(
                gate_up=self.matrix(experts, 2 * inner, hidden, quantised=self.quantised),
                down=self.matrix(experts, hidden, inner, quantised=self.quantised),
            ),
            end=LayerEnd(
                dense=self.ones(hidden),
                experts=self.ones(hidden),
                after_mlps=self.ones(hidden),
                following=self.ones(hidden),
                canvas_scalar=self.ones(1),
                other_scalar=self.ones(1),
                epsilon=config.epsilon,
            ),
        )

    def mlp(self, *, quantised: bool) -> MlpWeights:
        hidden, inner = self.config.hidden_size, self.config.mlp_width
        return MlpWeights(
            gate_up=self.matrix(2 * inner, hidden, quantised=quantised),
            down=self.matrix(hidden, inner, quantised=quantised),
        )

    def matrix(self, *shape: int, quantised: bool = False) -> Rounded:
        rows = torch.empty(shape, dtype=self.dtype, device=self.device)
        rows.normal_(0.0, shape[-1] ** -0.5, generator=self.generator)
        return Rounded.of(rows, quantised=quantised)

    def ones(self, count: int) -> Tensor:
        return torch.ones(count, dtype=self.dtype, device=self.device)
