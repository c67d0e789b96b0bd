"""The network's weights as the fused kernels read them: projections that share an input side by
side, and large matrices in the format asked for.

Embedding (and so the output head), router, norms and self-conditioning keep their dtype, as in
published quantised checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TypeVar

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
from palimpsest.kernels.lowbit import LowBit
from palimpsest.kernels.quantise import quantise_rows

Scales = Mapping[str, Tensor]
"""Of parameters that are e4m3 already: one for each row, by the parameter's name."""
LowBits = Mapping[str, LowBit]
"""Experts in few bits, by the names of the parameters that they stand for."""
TOKENS_AT_ONCE = 16_384
"""Rows of the embedding that are rounded together."""
Of = TypeVar("Of")


@dataclass(frozen=True, slots=True, kw_only=True)
class MlpWeights:
    """Of one MLP."""

    gate_up: Rounded
    """[2 I, H], the rows of the gate first."""
    down: Rounded
    """[H, I]"""

    @classmethod
    def of(cls, mlp: Mlp, *, quantised: bool, scales: Scales) -> MlpWeights:
        matrix = partial(_matrix, mlp, scales, quantised=quantised)
        return cls(
            gate_up=matrix("gate_proj.weight", "up_proj.weight"),
            down=matrix("down_proj.weight"),
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
    def of(
        cls,
        layer: Layer,
        following: Tensor,
        *,
        weight_format: WeightFormat,
        scales: Scales,
        low_bit: LowBits,
    ) -> LayerWeights:
        """`following` is the norm of what reads the layer's output."""
        attention, quantised = layer.self_attn, weight_format.quantised
        projections = (
            ("q_proj", "k_proj") if attention.v_proj is None else ("q_proj", "k_proj", "v_proj")
        )
        matrix = partial(_matrix, layer, scales, quantised=quantised)
        return cls(
            config=layer.config,
            input_norm=layer.input_layernorm.weight,
            qkv=matrix(*(f"self_attn.{name}.weight" for name in projections)),
            head_norms=HeadNorms(
                query=attention.q_norm.weight,
                key=attention.k_norm.weight,
                epsilon=attention.epsilon,
            ),
            output=matrix("self_attn.o_proj.weight"),
            mlp_norms=MlpNorms(
                after_attention=layer.post_attention_layernorm.weight,
                dense=layer.pre_feedforward_layernorm.weight,
                experts=layer.pre_feedforward_layernorm_2.weight,
                router=layer.router.scale,
                epsilon=layer.input_layernorm.epsilon,
            ),
            dense=MlpWeights.of(layer.mlp, quantised=quantised, scales=_below(scales, "mlp.")),
            router=layer.router.proj.weight,
            per_expert_scale=layer.router.per_expert_scale,
            experts=_experts(layer, weight_format=weight_format, scales=scales, low_bit=low_bit),
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
    head: Rounded | None = None
    """The embedding in e4m3, for logits; None where they are read off the embedding itself."""

    @classmethod
    def of(
        cls,
        network: DiffusionGemma,
        *,
        weight_format: WeightFormat,
        scales: Scales = MappingProxyType({}),
        low_bit: LowBits = MappingProxyType({}),
        fp8_head: bool = False,
    ) -> NetworkWeights:
        """Layer by layer, so that of one layer alone both forms are in memory; the network's own
        layers are gone afterwards. Matrices that have `scales` are e4m3 already; those of `low_bit`
        are taken instead of the network's.
        """
        plain = [layer for layer in network.layers if isinstance(layer, Layer)]
        network.layers = nn.ModuleList()
        following = [*(layer.input_layernorm.weight for layer in plain[1:]), network.norm.weight]
        layers = [
            LayerWeights.of(
                plain.pop(0),
                norm,
                weight_format=weight_format,
                scales=_below(scales, f"layers.{index}."),
                low_bit=_below(low_bit, f"layers.{index}."),
            )
            for index, norm in enumerate(following)
        ]
        embedding = network.embed_tokens.weight.detach()
        return cls(
            embedding=embedding,
            self_conditioning=MlpWeights.of(network.self_conditioning, quantised=False, scales={}),
            self_conditioning_norm=network.self_conditioning.pre_norm.weight,
            layers=tuple(layers),
            head=fp8_head_of(embedding) if fp8_head else None,
        )


def fp8_head_of(embedding: Tensor) -> Rounded:
    """Rounded part by part, as that takes several fp32 copies."""
    made = Rounded.empty(embedding, quantised=True)
    assert made.scales is not None
    for first in range(0, len(embedding), TOKENS_AT_ONCE):
        part = slice(first, first + TOKENS_AT_ONCE)
        made.values[part], made.scales[part] = quantise_rows(embedding[part])
    return made


def _experts(
    layer: Layer, *, weight_format: WeightFormat, scales: Scales, low_bit: LowBits
) -> ExpertMatrices:
    """As they are coded already, or in the format."""
    gate_up, down = "experts.gate_up_proj", "experts.down_proj"
    if gate_up in low_bit:
        return ExpertMatrices(gate_up=low_bit[gate_up], down=low_bit[down])
    if {gate_up, down} & scales.keys():
        matrix = partial(_matrix, layer, scales, quantised=True)
        return ExpertMatrices(gate_up=matrix(gate_up), down=matrix(down))
    return ExpertMatrices.of(
        layer.get_parameter(gate_up).detach(),
        layer.get_parameter(down).detach(),
        bits=weight_format.expert_bits,
    )


def _matrix(module: nn.Module, scales: Scales, *names: str, quantised: bool) -> Rounded:
    """The parameters of these names, one below the other; those with scales as they are."""
    parts = []
    for name in names:
        rows = module.get_parameter(name).detach()
        kept = scales.get(name)
        parts.append(Rounded.of(rows, quantised=quantised) if kept is None else Rounded(rows, kept))
    if len(parts) == 1:
        return parts[0]
    of_rows = [part.scales for part in parts if part.scales is not None]
    return Rounded(
        torch.cat([part.values for part in parts]), torch.cat(of_rows) if of_rows else None
    )


def _below(of_network: Mapping[str, Of], prefix: str) -> Mapping[str, Of]:
    """What is of the parameters below a module, by their names there."""
    return {
        name.removeprefix(prefix): value
        for name, value in of_network.items()
        if name.startswith(prefix)
    }
