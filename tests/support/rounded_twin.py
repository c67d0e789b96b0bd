"""The plain network with e4m3 rounding where the kernels round: what they have to equal."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor, nn

from palimpsest.engine.gpu.weight_format import WeightFormat
from palimpsest.engine.layers import Layer
from palimpsest.engine.model import DiffusionGemma
from palimpsest.kernels.fused.experts import ExpertMatrices
from palimpsest.kernels.fused.rounding import Rounded


def rounded_twin(network: DiffusionGemma, weight_format: WeightFormat) -> DiffusionGemma:
    """A copy; embedding, router, norms and self-conditioning are as they were."""
    twin = deepcopy(network)
    for layer in twin.layers:
        assert isinstance(layer, Layer)
        for linear in (*layer.self_attn.modules(), *layer.mlp.modules()):
            if isinstance(linear, nn.Linear):
                linear.weight.data = _rows(linear.weight.data)
                of = _groups if linear is layer.mlp.down_proj else _rows
                linear.register_forward_pre_hook(_before(of))
        layer.mix = _mix(layer, weight_format)  # type: ignore[method-assign]
    return twin


def _before(of: Callable[[Tensor], Tensor]) -> Callable[[nn.Module, tuple[Tensor]], Tensor]:
    return lambda _, given: of(given[0])


def _mix(layer: Layer, weight_format: WeightFormat):  # noqa: ANN202 - as `Layer.mix`
    experts = layer.experts
    matrices = ExpertMatrices.of(
        experts.gate_up_proj.data, experts.down_proj.data, bits=weight_format.expert_bits
    )
    gate_up, down = matrices.gate_up.exact(), matrices.down.exact()

    def mix(residual: Tensor, row_multiple: int) -> Tensor:
        weights, experts, _ = layer.router(residual)
        x = _rows(layer.pre_feedforward_layernorm_2(residual))
        gate, up = torch.einsum("th,tkih->tki", x, gate_up[experts]).chunk(2, dim=-1)
        inner = _groups(nn.functional.gelu(gate, approximate="tanh") * up)
        made = torch.einsum("tki,tkhi->tkh", inner, down[experts])
        return (made * weights[..., None]).sum(dim=1)

    return mix


def _rows(x: Tensor) -> Tensor:
    return Rounded.of(x, quantised=True).exact()


def _groups(x: Tensor) -> Tensor:
    return Rounded.grouped(x, quantised=True).exact()
