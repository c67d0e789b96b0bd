"""From attention to what the MLPs read, in one pass over the rows.

x' = x + norm(attended) · w_post; with n = x' / rms(x'), the three readers get n · w_dense,
n · w_experts and n · scale · H^(-1/2). One reduction serves all three, as the readers' norms differ
in their weights alone (transformers, DiffusionGemma's decoder layer and Gemma4TextRouter).

Reads 2 · T · H elements, writes 2 · T · H of the stream's dtype and 2 · T · H of what is rounded;
12 · T · H FLOPs. Rows are contiguous.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from palimpsest.kernels.fused.overlap import how_to_launch, in_turn
from palimpsest.kernels.fused.rounding import INTERPRETED, Rounded, store_rounded
from palimpsest.kernels.norm import rms_norm
from palimpsest.kernels.shapes import Hidden, NormWeight


@dataclass(frozen=True, slots=True, kw_only=True)
class MlpInputs:
    """Rows [T, H] as the residual stream, the dense MLP, the experts and the router read them."""

    stream: Hidden
    dense: Rounded
    experts: Rounded
    router: Hidden


@dataclass(frozen=True, slots=True, kw_only=True)
class MlpNorms:
    """Weights [H] of the norms around."""

    after_attention: NormWeight
    dense: NormWeight
    experts: NormWeight
    router: NormWeight
    epsilon: float


def after_attention_reference(
    stream: Hidden, attended: Hidden, norms: MlpNorms, *, quantised: bool
) -> MlpInputs:
    epsilon = norms.epsilon
    stream = stream + rms_norm(attended, norms.after_attention, epsilon=epsilon)
    scale = norms.router.float() * stream.shape[-1] ** -0.5
    return MlpInputs(
        stream=stream,
        dense=Rounded.of(rms_norm(stream, norms.dense, epsilon=epsilon), quantised=quantised),
        experts=Rounded.of(rms_norm(stream, norms.experts, epsilon=epsilon), quantised=quantised),
        router=rms_norm(stream, scale, epsilon=epsilon),
    )


def after_attention(
    stream: Hidden, attended: Hidden, norms: MlpNorms, *, quantised: bool
) -> MlpInputs:
    rows, width = stream.shape
    made = MlpInputs(
        stream=torch.empty_like(stream),
        dense=Rounded.empty(stream, quantised=quantised),
        experts=Rounded.empty(stream, quantised=quantised),
        router=torch.empty_like(stream),
    )
    _after_attention_kernel[(rows,)](
        stream,
        attended,
        norms.after_attention,
        norms.dense,
        norms.experts,
        norms.router,
        made.stream,
        made.dense.values,
        made.dense.scales,
        made.experts.values,
        made.experts.scales,
        made.router,
        norms.epsilon,
        H=width,
        BLOCK_H=triton.next_power_of_2(width),
        EMULATED=INTERPRETED,
        num_warps=8,
        **how_to_launch(),
    )
    return made


@triton.jit
def _after_attention_kernel(
    stream,
    attended,
    post_weight,
    dense_weight,
    experts_weight,
    router_weight,
    new_stream,
    dense,
    dense_scales,
    experts,
    experts_scales,
    router,
    epsilon,
    H: tl.constexpr,
    BLOCK_H: tl.constexpr,
    EMULATED: tl.constexpr,
):
    in_turn()
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK_H)
    mask = column < H
    place = row * H + column

    a = tl.load(attended + place, mask=mask, other=0.0).to(tl.float32)
    a = a * tl.rsqrt(tl.sum(a * a, 0) / H + epsilon)
    a = a * tl.load(post_weight + column, mask=mask, other=0.0).to(tl.float32)
    x = tl.load(stream + place, mask=mask, other=0.0)
    # rounded where the plain path rounds, or later layers drift apart from it
    x = (x.to(tl.float32) + a.to(x.dtype).to(tl.float32)).to(x.dtype)
    tl.store(new_stream + place, x, mask=mask)

    n = x.to(tl.float32)
    n = n * tl.rsqrt(tl.sum(n * n, 0) / H + epsilon)
    w = tl.load(dense_weight + column, mask=mask, other=0.0).to(tl.float32)
    store_rounded(dense, dense_scales, row, place, mask, n * w, EMULATED)
    w = tl.load(experts_weight + column, mask=mask, other=0.0).to(tl.float32)
    store_rounded(experts, experts_scales, row, place, mask, n * w, EMULATED)
    w = tl.load(router_weight + column, mask=mask, other=0.0).to(tl.float32)
    r = n * (w * H**-0.5)
    tl.store(router + place, r.to(router.dtype.element_ty), mask=mask)
