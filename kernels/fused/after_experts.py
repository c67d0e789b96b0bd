"""From the MLPs to the next layer, in one pass over the rows.

mixed = Σ_k weights[k] · y[k] in fp32, in the order of slots;
f = norm(dense) · w1 + norm(mixed) · w2; x' = (x + norm(f) · w3) · s, where s is one scalar of the
layer for rows of a canvas and another for the rest; next = norm(x') · w4 (transformers,
DiffusionGemma's decoder layer).

Reads (2 + K) · T · H elements, writes T · H of the stream's dtype and T · H of what is rounded;
(2 · K + 18) · T · H FLOPs. Rows are contiguous. A row reads nothing of others, so the undefined
outputs of padding stay with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from jaxtyping import Bool, Float
from torch import Tensor

from palimpsest.kernels.fused.overlap import how_to_launch, in_turn
from palimpsest.kernels.fused.rounding import INTERPRETED, Rounded, store_rounded
from palimpsest.kernels.norm import rms_norm
from palimpsest.kernels.shapes import ExpertWeights, NormWeight

Rows = Float[Tensor, "T H"]
OfSlots = Float[Tensor, "TK H"]
OnCanvas = Bool[Tensor, " T"]
Scalar = Float[Tensor, "1"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MlpOutputs:
    """What the MLPs made of the stream: the dense one [T, H], and every slot's expert [T·K, H]
    with the slots' weights [T, K].
    """

    dense: Rows
    experts: OfSlots
    weights: ExpertWeights


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerEnd:
    """Weights [H] of the norms around, and the scalars of the stream."""

    dense: NormWeight
    experts: NormWeight
    after_mlps: NormWeight
    following: NormWeight
    """Of the next layer's input, or the network's last norm."""
    canvas_scalar: Scalar
    other_scalar: Scalar
    epsilon: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerOutputs:
    """Rows [T, H] as the residual stream and the next layer read them."""

    stream: Rows
    following: Rounded


def after_experts_reference(
    stream: Rows, mlps: MlpOutputs, end: LayerEnd, *, on_canvas: OnCanvas, quantised: bool
) -> LayerOutputs:
    epsilon = end.epsilon
    slots = mlps.experts.unflatten(0, mlps.weights.shape).float()
    mixed = (slots * mlps.weights[..., None]).sum(dim=1).to(stream.dtype)
    dense = rms_norm(mlps.dense, end.dense, epsilon=epsilon)
    mixed = rms_norm(mixed, end.experts, epsilon=epsilon)
    stream = stream + rms_norm(dense + mixed, end.after_mlps, epsilon=epsilon)
    scalar = torch.where(on_canvas, end.canvas_scalar, end.other_scalar)
    stream = stream * scalar.to(stream.dtype)[:, None]
    following = rms_norm(stream, end.following, epsilon=epsilon)
    return LayerOutputs(stream=stream, following=Rounded.of(following, quantised=quantised))


def after_experts(
    stream: Rows, mlps: MlpOutputs, end: LayerEnd, *, on_canvas: OnCanvas, quantised: bool
) -> LayerOutputs:
    rows, width = stream.shape
    made = LayerOutputs(
        stream=torch.empty_like(stream), following=Rounded.empty(stream, quantised=quantised)
    )
    _after_experts_kernel[(rows,)](
        stream,
        mlps.dense,
        mlps.experts,
        mlps.weights,
        on_canvas,
        end.dense,
        end.experts,
        end.after_mlps,
        end.following,
        end.canvas_scalar,
        end.other_scalar,
        made.stream,
        made.following.values,
        made.following.scales,
        end.epsilon,
        K=mlps.weights.shape[1],
        H=width,
        BLOCK_H=triton.next_power_of_2(width),
        EMULATED=INTERPRETED,
        num_warps=8,
        **how_to_launch(),
    )
    return made


@triton.jit
def _after_experts_kernel(
    stream,
    dense,
    experts,
    weights,
    on_canvas,
    dense_weight,
    experts_weight,
    post_weight,
    following_weight,
    canvas_scalar,
    other_scalar,
    new_stream,
    following,
    following_scales,
    epsilon,
    K: tl.constexpr,
    H: tl.constexpr,
    BLOCK_H: tl.constexpr,
    EMULATED: tl.constexpr,
):
    in_turn()
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK_H)
    mask = column < H
    place = row * H + column

    mixed = tl.zeros((BLOCK_H,), tl.float32)
    for k in tl.static_range(K):
        y = tl.load(experts + (row * K + k) * H + column, mask=mask, other=0.0)
        mixed += tl.load(weights + row * K + k) * y.to(tl.float32)
    x = tl.load(stream + place, mask=mask, other=0.0)
    d = tl.load(dense + place, mask=mask, other=0.0)
    # rounded where the plain path rounds, or later layers drift apart from it
    d = _normed(d, dense_weight + column, mask, epsilon, H).to(x.dtype).to(tl.float32)
    mixed = _normed(mixed.to(x.dtype), experts_weight + column, mask, epsilon, H)
    f = (d + mixed.to(x.dtype).to(tl.float32)).to(x.dtype)
    f = _normed(f, post_weight + column, mask, epsilon, H).to(x.dtype).to(tl.float32)
    x = (x.to(tl.float32) + f).to(x.dtype)
    scalar = tl.where(tl.load(on_canvas + row) != 0, tl.load(canvas_scalar), tl.load(other_scalar))
    x = (x.to(tl.float32) * scalar.to(x.dtype).to(tl.float32)).to(x.dtype)
    tl.store(new_stream + place, x, mask=mask)
    n = _normed(x, following_weight + column, mask, epsilon, H)
    store_rounded(following, following_scales, row, place, mask, n, EMULATED)


@triton.jit
def _normed(x, weight, mask, epsilon, H: tl.constexpr):
    """RMS norm of a row (0 outside `mask`) in fp32."""
    x = x.to(tl.float32)
    x *= tl.rsqrt(tl.sum(x * x, 0) / H + epsilon)
    return x * tl.load(weight, mask=mask, other=0.0).to(tl.float32)
