"""Random weights of any size, made on the device layer by layer.

For measuring speed where the weights themselves are not at hand.
"""

from __future__ import annotations

import torch
from torch import Tensor

from palimpsest.engine.config import LayerConfig, ModelConfig
from palimpsest.engine.gpu.weight_format import WeightFormat
from palimpsest.engine.gpu.weights import LayerWeights, MlpWeights, NetworkWeights
from palimpsest.kernels.fused.after_attention import MlpNorms
from palimpsest.kernels.fused.after_experts import LayerEnd
from palimpsest.kernels.fused.experts import ExpertMatrices
from palimpsest.kernels.fused.heads import HeadNorms
from palimpsest.kernels.fused.rounding import Rounded


def random_weights(
    config: ModelConfig, *, weight_format: WeightFormat, device: torch.device, dtype: torch.dtype
) -> NetworkWeights:
    """Weights such that activations keep their size from layer to layer."""
    made = _Random(config, weight_format, device, dtype)
    return NetworkWeights(
        embedding=made.matrix(config.vocabulary_size, config.hidden_size).values,
        self_conditioning=made.mlp(quantised=False),
        self_conditioning_norm=made.ones(config.hidden_size),
        layers=tuple(map(made.layer, config.layers)),
    )


class _Random:
    def __init__(
        self,
        config: ModelConfig,
        weight_format: WeightFormat,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.config, self.weight_format = config, weight_format
        self.quantised, self.device, self.dtype = weight_format.quantised, device, dtype
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
            experts=ExpertMatrices.of(
                self.matrix(experts, 2 * inner, hidden).values,
                self.matrix(experts, hidden, inner).values,
                bits=self.weight_format.expert_bits,
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
