"""What holds weights in the network: norms, attention projections, MLPs, router and experts.

Names of modules and parameters equal those in the checkpoint below `model.decoder.`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from palimpsest.engine.config import LayerConfig, ModelConfig
from palimpsest.engine.shapes import Hidden, Rotation
from palimpsest.kernels.experts import mixture_of_experts
from palimpsest.kernels.norm import rms_norm
from palimpsest.kernels.rope import rotate
from palimpsest.kernels.routing import route

if TYPE_CHECKING:
    from palimpsest.engine.model import Attend, Rows


class Norm(nn.Module):
    """RMS norm with a learned multiplier."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return rms_norm(x, self.weight, epsilon=self.epsilon)


class Mlp(nn.Module):
    """down( gelu_tanh(gate x) ⊙ up x )."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(width, inner, bias=False)
        self.up_proj = nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x: Hidden) -> Hidden:
        gate = nn.functional.gelu(self.gate_proj(x), approximate="tanh")
        return self.down_proj(gate * self.up_proj(x))


class SelfConditioning(Mlp):
    """Turns the soft embedding of the last step into a signal added to the canvas embeddings."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config.hidden_size, config.mlp_width)
        self.pre_norm = Norm(config.hidden_size, config.epsilon)

    def forward(self, x: Hidden) -> Hidden:
        return super().forward(self.pre_norm(x))


class SelfAttention(nn.Module):
    """Projections around attention. Full layers have no v_proj: values are raw keys, normalised."""

    def __init__(self, config: ModelConfig, layer: LayerConfig) -> None:
        super().__init__()
        self.layer = layer
        self.epsilon = config.epsilon
        width, head = config.hidden_size, layer.head_dim
        self.q_proj = nn.Linear(width, config.num_heads * head, bias=False)
        self.k_proj = nn.Linear(width, layer.num_key_value_heads * head, bias=False)
        if layer.window is not None:
            self.v_proj = nn.Linear(width, layer.num_key_value_heads * head, bias=False)
        else:
            self.v_proj = None
        self.o_proj = nn.Linear(config.num_heads * head, width, bias=False)
        self.q_norm = Norm(head, config.epsilon)
        self.k_norm = Norm(head, config.epsilon)

    def forward(self, x: Hidden, *, cosine: Rotation, sine: Rotation, attend: Attend) -> Hidden:
        head = self.layer.head_dim
        query = self.q_proj(x).unflatten(-1, (-1, head))
        raw_key = self.k_proj(x).unflatten(-1, (-1, head))
        raw_value = raw_key if self.v_proj is None else self.v_proj(x).unflatten(-1, (-1, head))
        output = attend(
            self.layer,
            query=rotate(self.q_norm(query), cosine, sine),
            key=rotate(self.k_norm(raw_key), cosine, sine),
            value=rms_norm(raw_value, None, epsilon=self.epsilon),
        )
        return self.o_proj(output.flatten(-2))


class Router(nn.Module):
    """Chooses experts from the raw residual stream, which it normalises itself."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.proj = nn.Linear(config.hidden_size, config.num_experts, bias=False)
        self.scale = nn.Parameter(torch.ones(config.hidden_size))
        self.per_expert_scale = nn.Parameter(torch.ones(config.num_experts))

    def forward(self, residual: Hidden) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Weights and ids of the chosen experts, and the probabilities of all."""
        normed = rms_norm(residual, None, epsilon=self.config.epsilon)
        scores = self.proj(normed * self.scale * self.config.hidden_size**-0.5)
        return route(scores, self.per_expert_scale, experts_per_token=self.config.experts_per_token)


class Experts(nn.Module):
    """All experts of a layer, stacked."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        count, width, inner = config.num_experts, config.hidden_size, config.expert_width
        self.gate_up_proj = nn.Parameter(torch.empty(count, 2 * inner, width))
        self.down_proj = nn.Parameter(torch.empty(count, width, inner))


class Layer(nn.Module):
    """One block: attention, then the dense MLP beside the experts, then the layer scalar."""

    def __init__(self, config: ModelConfig, layer: LayerConfig) -> None:
        super().__init__()
        self.config = layer
        self.self_attn = SelfAttention(config, layer)
        self.mlp = Mlp(config.hidden_size, config.mlp_width)
        self.router = Router(config)
        self.experts = Experts(config)
        width, epsilon = config.hidden_size, config.epsilon
        self.input_layernorm = Norm(width, epsilon)
        self.post_attention_layernorm = Norm(width, epsilon)
        self.pre_feedforward_layernorm = Norm(width, epsilon)
        self.pre_feedforward_layernorm_2 = Norm(width, epsilon)
        self.post_feedforward_layernorm = Norm(width, epsilon)
        self.post_feedforward_layernorm_1 = Norm(width, epsilon)
        self.post_feedforward_layernorm_2 = Norm(width, epsilon)
        self.layer_scalar = nn.Buffer(torch.ones(1))
        self.encoder_layer_scalar = nn.Buffer(torch.ones(1))

    def forward(
        self, x: Hidden, rows: Rows, *, cosine: Rotation, sine: Rotation, attend: Attend
    ) -> Hidden:
        attended = self.self_attn(self.input_layernorm(x), cosine=cosine, sine=sine, attend=attend)
        x = x + self.post_attention_layernorm(attended)
        dense = self.post_feedforward_layernorm_1(self.mlp(self.pre_feedforward_layernorm(x)))
        mixed = self.post_feedforward_layernorm_2(self.mix(x, rows.expert_row_multiple))
        x = x + self.post_feedforward_layernorm(dense + mixed)
        # the scalar multiplies the whole stream, after the residual was added
        scalar = torch.where(rows.on_canvas, self.layer_scalar, self.encoder_layer_scalar)
        return x * scalar.to(x.dtype)[:, None]

    def mix(self, residual: Hidden, row_multiple: int) -> Hidden:
        """What the experts make of the residual stream."""
        weights, experts, _ = self.router(residual)
        return mixture_of_experts(
            self.pre_feedforward_layernorm_2(residual),
            weights=weights,
            experts=experts,
            gate_up=self.experts.gate_up_proj,
            down=self.experts.down_proj,
            row_multiple=row_multiple,
        )
