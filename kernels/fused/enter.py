"""From token ids to the residual stream and what the first layer reads, in one pass over the rows.

e = E[token] · scale; a canvas row becomes norm(e + signal), a causal one stays e, or is a row of a
picture instead; the first layer reads norm(x) · w (transformers, DiffusionGemma's decoder model;
engine/model.py). The norms are of the rounded sum, as on the plain path.

Reads T · H elements of the embedding and H of the signal per canvas row, writes T · H of the stream
and T · H rounded; 8 · T · H FLOPs. Rows are contiguous.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from palimpsest.kernels.fused.overlap import how_to_launch, in_turn
from palimpsest.kernels.fused.rounding import INTERPRETED, Rounded, store_rounded
from palimpsest.kernels.norm import rms_norm
from palimpsest.kernels.shapes import Hidden, NormWeight, TokenIds

Embedding = Float[Tensor, "V H"]
Signal = Float[Tensor, "L H"]
CanvasTokens = Int[Tensor, " L"]
CanvasRows = Int[Tensor, " T"]
"""Which of the L rows of canvases a row is; -1 if it is causal."""
Shown = Float[Tensor, "P H"]
ShownRows = Int[Tensor, " T"]
"""Which of the P rows of pictures a row is; -1 for none."""


def enter_reference(
    token_ids: TokenIds,
    *,
    embedding: Embedding,
    scale: float,
    canvas_tokens: CanvasTokens,
    signal: Signal,
    canvas_rows: CanvasRows,
    shown: Shown,
    shown_rows: ShownRows,
    norm: NormWeight,
    epsilon: float,
    quantised: bool,
) -> tuple[Hidden, Rounded]:
    place, on_canvas = canvas_rows.clamp_min(0).long(), canvas_rows >= 0
    token_ids = torch.where(on_canvas, canvas_tokens[place], token_ids)
    embedded = embedding[token_ids.long()] * embedding.new_tensor(scale)
    normed = rms_norm(embedded + signal[place], None, epsilon=epsilon)
    stream = torch.where(on_canvas[:, None], normed, embedded)
    stream = torch.where(shown_rows[:, None] >= 0, shown[shown_rows.clamp_min(0).long()], stream)
    return stream, Rounded.of(rms_norm(stream, norm, epsilon=epsilon), quantised=quantised)


def enter(
    token_ids: TokenIds,
    *,
    embedding: Embedding,
    scale: float,
    canvas_tokens: CanvasTokens,
    signal: Signal,
    canvas_rows: CanvasRows,
    shown: Shown,
    shown_rows: ShownRows,
    norm: NormWeight,
    epsilon: float,
    quantised: bool,
) -> tuple[Hidden, Rounded]:
    """The stream [T, H] and the first layer's input. `token_ids` are read in causal rows alone; no
    row is of a canvas and of a picture; `scale` is exact in the embedding's dtype.
    """
    rows, width = len(token_ids), embedding.shape[1]
    stream = embedding.new_empty(rows, width)
    entered = Rounded.empty(stream, quantised=quantised)
    _enter_kernel[(rows,)](
        token_ids,
        embedding,
        canvas_tokens,
        signal,
        canvas_rows,
        shown,
        shown_rows,
        norm,
        stream,
        entered.values,
        entered.scales,
        scale,
        epsilon,
        H=width,
        BLOCK_H=triton.next_power_of_2(width),
        EMULATED=INTERPRETED,
        num_warps=8,
        **how_to_launch(),
    )
    return stream, entered


@triton.jit
def _enter_kernel(
    token_ids,
    embedding,
    canvas_tokens,
    signal,
    canvas_rows,
    shown,
    shown_rows,
    norm,
    stream,
    entered,
    entered_scales,
    scale,
    epsilon,
    H: tl.constexpr,
    BLOCK_H: tl.constexpr,
    EMULATED: tl.constexpr,
):
    in_turn()
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK_H)
    mask = column < H
    kind: tl.constexpr = stream.dtype.element_ty

    canvas_row = tl.load(canvas_rows + row).to(tl.int64)
    if canvas_row >= 0:
        token = tl.load(canvas_tokens + canvas_row).to(tl.int64)
    else:
        token = tl.load(token_ids + row).to(tl.int64)
    shown_row = tl.load(shown_rows + row).to(tl.int64)
    if shown_row >= 0:
        x = tl.load(shown + shown_row * H + column, mask=mask, other=0.0).to(tl.float32)
    else:
        x = tl.load(embedding + token * H + column, mask=mask, other=0.0).to(tl.float32) * scale
        x = x.to(kind).to(tl.float32)
    if canvas_row >= 0:
        x += tl.load(signal + canvas_row * H + column, mask=mask, other=0.0).to(tl.float32)
        x = x.to(kind).to(tl.float32)
        x = (x * tl.rsqrt(tl.sum(x * x, 0) / H + epsilon)).to(kind).to(tl.float32)
    tl.store(stream + row * H + column, x.to(kind), mask=mask)

    x = x * tl.rsqrt(tl.sum(x * x, 0) / H + epsilon)
    x *= tl.load(norm + column, mask=mask, other=0.0).to(tl.float32)
    store_rounded(entered, entered_scales, row, row * H + column, mask, x, EMULATED)
