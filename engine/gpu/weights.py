"""The network's weights as the fused kernels read them: projections that share an input side by
side, and large matrices in the format asked for.

Embedding (and so the output head), router, norms and self-conditioning keep their dtype, as in
published quantised checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from palimpsest.engine.config import LayerConfig
from palimpsest.engine.gpu.weight_format import WeightFormat
from palimpsest.engine.layers import Layer, Mlp
from palimpsest.engine.model import DiffusionGemma
from palimpsest.kernels.fused.after_attention import MlpNorms
from palimpsest.kernels.fused.after_experts import LayerEnd
from palimpsest.kernels.fused.experts import ExpertMatrices
from palimpsest.kernels.fused.heads import HeadNorms
from palimpsest.kernels.fused.rounding import Rounded


@dataclass(frozen=True, slots=True, kw_only=True)
class MlpWeights:
    """Of one MLP."""

    gate_up: Rounded
    """[2 I, H], the rows of the gate first."""
    down: Rounded
    """[H, I]"""

    @classmethod
    def of(cls, mlp: Mlp, *, quantised: bool) -> MlpWeights:
        return cls(
            gate_up=_rounded(quantised, mlp.gate_proj, mlp.up_proj),
            down=_rounded(quantised, mlp.down_proj),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerWeights:
    """Of one layer."""

    config: LayerConfig
    input_norm: Tensor
    qkv: Rounded
    """[(N + G) · D, H] or, where values have a projection, [(N + 2 G) · D, H]."""
    head_norms: HeadNorms
    output: Rounded
    mlp_norms: MlpNorms
    dense: MlpWeights
    router: Tensor
    per_expert_scale: Tensor
    experts: ExpertMatrices
    end: LayerEnd

    @classmethod
    def of(cls, layer: Layer, following: Tensor, *, weight_format: WeightFormat) -> LayerWeights:
        """`following` is the norm of what reads the layer's output."""
        attention, quantised = layer.self_attn, weight_format.quantised
        values = [] if attention.v_proj is None else [attention.v_proj]
        return cls(
            config=layer.config,
            input_norm=layer.input_layernorm.weight,
            qkv=_rounded(quantised, attention.q_proj, attention.k_proj, *values),
            head_norms=HeadNorms(
                query=attention.q_norm.weight,
                key=attention.k_norm.weight,
                epsilon=attention.epsilon,
            ),
            output=_rounded(quantised, attention.o_proj),
            mlp_norms=MlpNorms(
                after_attention=layer.post_attention_layernorm.weight,
                dense=layer.pre_feedforward_layernorm.weight,
                experts=layer.pre_feedforward_layernorm_2.weight,
                router=layer.router.scale,
                epsilon=layer.input_layernorm.epsilon,
            ),
            dense=MlpWeights.of(layer.mlp, quantised=quantised),
            router=layer.router.proj.weight,
            per_expert_scale=layer.router.per_expert_scale,
            experts=ExpertMatrices.of(
                layer.experts.gate_up_proj.detach(),
                layer.experts.down_proj.detach(),
                bits=weight_format.expert_bits,
            ),
            end=LayerEnd(
                dense=layer.post_feedforward_layernorm_1.weight,
                experts=layer.post_feedforward_layernorm_2.weight,
                after_mlps=layer.post_feedforward_layernorm.weight,
                following=following,
                canvas_scalar=layer.layer_scalar,
                other_scalar=layer.encoder_layer_scalar,
                epsilon=layer.input_layernorm.epsilon,
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkWeights:
    """Of the whole network."""

    embedding: Tensor
    self_conditioning: MlpWeights
    self_conditioning_norm: Tensor
    layers: tuple[LayerWeights, ...]

    @classmethod
    def of(cls, network: DiffusionGemma, *, weight_format: WeightFormat) -> NetworkWeights:
        """Layer by layer, so that of one layer alone both forms are in memory; the network's own
        layers are gone afterwards.
        """
        plain = [layer for layer in network.layers if isinstance(layer, Layer)]
        network.layers = nn.ModuleList()
        following = [*(layer.input_layernorm.weight for layer in plain[1:]), network.norm.weight]
        layers = [
            LayerWeights.of(plain.pop(0), norm, weight_format=weight_format) for norm in following
        ]
        return cls(
            embedding=network.embed_tokens.weight.detach(),
            self_conditioning=MlpWeights.of(network.self_conditioning, quantised=False),
            self_conditioning_norm=network.self_conditioning.pre_norm.weight,
            layers=tuple(layers),
        )


def _rounded(quantised: bool, *projections: nn.Linear) -> Rounded:
    """Their weights one below the other."""
    rows = torch.cat([projection.weight.detach() for projection in projections])
    return Rounded.of(rows, quantised=quantised)
