"""From hidden rows to all that a step reads off their logits, which themselves are never stored.

raw = hidden @ embedding^T, rounded to the dtype of the operands as nn.Linear rounds it (equal
logits are common in bf16, and the first of them is the argmax); z = tanh(raw / c) · c / T in fp32
(transformers, DiffusionGemma). The vocabulary goes in tiles, and of each (row, tile) are kept

    m = max z    s = Σ e^(z-m)    u = Σ e^(z-m) (z-m)    the first token with the largest raw

(tanh keeps the order) and the weights e^(z-m), once, in the dtype of the operands. Entropies follow
from sums of u without cancellation, as none of its terms is positive; Σ e^(z-m) z would have to be
corrected by m.

Optionally both operands are rounded to e4m3 with a scale per row (quantise.py): half the bytes,
twice the rate, and logits that are off by 4 % of their spread (2.6 % of either side).

With t tiles: reads V · H + L · H elements, writes L · V of them and 16 · L · t bytes; 2 · L · V · H
FLOPs. Operands are contiguous; with a copy engine, their rows begin at multiples of 16 bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from palimpsest.kernels.fused.expert_tiles import IMPRECISE
from palimpsest.kernels.fused.overlap import how_to_launch, in_turn
from palimpsest.kernels.fused.ptx import exp2, reciprocal, rounded
from palimpsest.kernels.fused.rounding import INTERPRETED, Rounded
from palimpsest.kernels.fused.target import has_tma
from palimpsest.kernels.shapes import PerRow

HiddenRows = Float[Tensor, "C H"]
Embedding = Float[Tensor, "V H"]
TileWeights = Float[Tensor, "C tokens"]
PerTile = Float[Tensor, "C tiles"]
TileTokens = Int[Tensor, "C tiles"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Of every row [C] and tile of the vocabulary; t tiles of W tokens."""

    weights: TileWeights
    """e^(z-m) of t · W tokens; those past the vocabulary weigh nothing."""
    maxima: PerTile
    sums: PerTile
    moments: PerTile
    argmax: TileTokens
    """Token ids."""

    @property
    def tile(self) -> int:
        """Tokens of a tile."""
        return self.weights.shape[1] // self.maxima.shape[1]

    @classmethod
    def empty(cls, hidden: HiddenRows, *, tiles: int, tile: int) -> Summary:
        """Room for the rows of `hidden`."""
        rows = len(hidden)
        per_tile = [hidden.new_empty(rows, tiles, dtype=torch.float32) for _ in range(3)]
        return cls(
            weights=hidden.new_empty(rows, tiles * tile),
            maxima=per_tile[0],
            sums=per_tile[1],
            moments=per_tile[2],
            argmax=hidden.new_empty(rows, tiles, dtype=torch.int32),
        )


@dataclass(frozen=True, slots=True)
class Tiling:
    """What one program multiplies, and how."""

    rows: int
    tokens: int
    depth: int
    stages: int
    warps: int


WITH_TMA = Tiling(128, 256, 64, 4, 8)
WITHOUT_TMA = Tiling(128, 128, 64, 4, 8)
"""As much as shared memory holds: 227 KB on sm_90, 99 KB on sm_89."""
E4M3_WITH_TMA = Tiling(128, 128, 128, 4, 8)
"""As much as registers hold, where fp32 takes sums over from the tensor cores."""


def lm_head_reference(
    *,
    hidden: HiddenRows,
    embedding: Embedding,
    inverse_temperature: PerRow,
    softcap: float,
    tile: int,
    coded: Rounded | None = None,
) -> Summary:
    rows, tokens = hidden.float(), embedding.float()
    if coded is not None:
        rows, tokens = Rounded.of(hidden, quantised=True).exact(), coded.exact()
    raw = (rows @ tokens.T).to(hidden.dtype).float()
    z = torch.tanh(raw / softcap) * softcap * inverse_temperature[:, None]
    z = torch.nn.functional.pad(z, (0, -len(embedding) % tile), value=-torch.inf)
    z = z.unflatten(1, (-1, tile))
    maxima, argmax = z.max(dim=-1).values, z.argmax(dim=-1)
    below = z - maxima[..., None]
    weights = below.exp()
    return Summary(
        weights=weights.flatten(1).to(hidden.dtype),
        maxima=maxima,
        sums=weights.sum(dim=-1),
        moments=torch.where(weights > 0, weights * below, 0.0).sum(dim=-1),
        argmax=(argmax + tile * torch.arange(z.shape[1], device=z.device)).int(),
    )


def lm_head(
    *,
    hidden: HiddenRows,
    embedding: Embedding,
    inverse_temperature: PerRow,
    softcap: float,
    coded: Rounded | None = None,
    tma: bool | None = None,
) -> Summary:
    """`coded` is the embedding in e4m3, which is multiplied instead."""
    tma = has_tma() if tma is None else tma
    tiling = tiling_of(quantised=coded is not None, tma=tma)
    (rows, width), vocabulary = hidden.shape, len(embedding)
    tiles = triton.cdiv(vocabulary, tiling.tokens)
    made = Summary.empty(hidden, tiles=tiles, tile=tiling.tokens)
    x = Rounded.of(hidden, quantised=coded is not None)
    w = coded or Rounded(embedding, None)
    a, b, out = x.values, w.values, made.weights
    if tma:
        a = TensorDescriptor.from_tensor(a, [tiling.rows, tiling.depth])
        b = TensorDescriptor.from_tensor(b, [tiling.tokens, tiling.depth])
        out = TensorDescriptor.from_tensor(made.weights, [tiling.rows, tiling.tokens])
    # the row tiles of one tile of the vocabulary run side by side, so that memory is read once
    _lm_head_kernel[(triton.cdiv(rows, tiling.rows), tiles)](
        a,
        b,
        x.scales,
        w.scales,
        inverse_temperature,
        out,
        made.maxima,
        made.sums,
        made.moments,
        made.argmax,
        softcap,
        rows,
        V=vocabulary,
        H=width,
        TILES=tiles,
        TILE=tiling.tokens,
        BLOCK_L=tiling.rows,
        BLOCK_H=tiling.depth,
        STAGES=tiling.stages,
        TMA=tma,
        EMULATED=INTERPRETED,
        IMPRECISE=None if coded is None else min(IMPRECISE, tiling.depth),
        num_warps=tiling.warps,
        **how_to_launch(),
    )
    return made


def tiling_of(*, quantised: bool, tma: bool) -> Tiling:
    """Of operands in e4m3 or in 16 bits."""
    if tma:
        return E4M3_WITH_TMA if quantised else WITH_TMA
    return WITHOUT_TMA


@triton.jit
def _lm_head_kernel(
    hidden,
    embedding,
    of_rows,
    of_tokens,
    inverse_temperature,
    weights,
    maxima,
    sums,
    moments,
    argmax,
    softcap,
    L,
    V: tl.constexpr,
    H: tl.constexpr,
    TILES: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK_L: tl.constexpr,
    BLOCK_H: tl.constexpr,
    STAGES: tl.constexpr,
    TMA: tl.constexpr,
    EMULATED: tl.constexpr,
    IMPRECISE: tl.constexpr,
):
    in_turn()
    LOG2_E: tl.constexpr = 1.4426950408889634
    inputs: tl.constexpr = weights.dtype if TMA else weights.dtype.element_ty
    first_row = tl.program_id(0) * BLOCK_L
    tile = tl.program_id(1)
    raw = _product(
        hidden,
        embedding,
        first_row,
        tile * TILE,
        L,
        V,
        H,
        BLOCK_L,
        TILE,
        BLOCK_H,
        STAGES,
        TMA,
        IMPRECISE,
    )
    row = first_row + tl.arange(0, BLOCK_L)
    alive = row < L
    token = tile * TILE + tl.arange(0, TILE)
    if of_rows is not None:
        raw *= tl.load(of_rows + row, mask=alive, other=0.0)[:, None]
        raw *= tl.load(of_tokens + token, mask=token < V, other=0.0)[None, :]
    raw = rounded(raw, inputs)
    if V % TILE != 0:
        raw = tl.where(token[None, :] < V, raw, -float("inf"))
    top = tl.max(raw, 1)
    # a row that is no number still names a token
    first = tl.min(tl.where(raw == top[:, None], token[None, :], V - 1), 1)
    cooling = tl.load(inverse_temperature + row, mask=alive, other=0.0)

    # tanh(x) = 1 - 2 / (1 + e^2x), so that z - m is a difference of such fractions
    rate = 2.0 * LOG2_E / softcap
    least = reciprocal(1.0 + exp2(top * rate, EMULATED), EMULATED)
    fraction = reciprocal(1.0 + exp2(raw * rate, EMULATED), EMULATED)
    below = (least[:, None] - fraction) * (2.0 * LOG2_E * softcap * cooling)[:, None]
    w = exp2(below, EMULATED)
    if V % TILE != 0:
        w = tl.where(token[None, :] < V, w, 0.0)
    m = softcap * (1.0 - 2.0 * least) * cooling
    s = tl.sum(w, 1)
    u = tl.sum(w * below, 1) / LOG2_E
    place = row.to(tl.int64) * TILES + tile
    tl.store(maxima + place, m, mask=alive)
    tl.store(sums + place, s, mask=alive)
    tl.store(moments + place, u, mask=alive)
    tl.store(argmax + place, first, mask=alive)
    if TMA:
        weights.store([first_row, tile * TILE], w.to(weights.dtype))
    else:
        place = row.to(tl.int64)[:, None] * (TILES * TILE) + token[None, :]
        tl.store(weights + place, w.to(weights.dtype.element_ty), mask=alive[:, None])


@triton.jit
def _product(
    hidden,
    embedding,
    first_row,
    first_token,
    L,
    V: tl.constexpr,
    H: tl.constexpr,
    BLOCK_L: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK_H: tl.constexpr,
    STAGES: tl.constexpr,
    TMA: tl.constexpr,
    IMPRECISE: tl.constexpr,
):
    """Rows of hidden times tokens, [BLOCK_L, TILE] in fp32."""
    row = first_row + tl.arange(0, BLOCK_L)
    token = first_token + tl.arange(0, TILE)
    column = tl.arange(0, BLOCK_H)
    product = tl.zeros((BLOCK_L, TILE), tl.float32)
    for k in tl.range(0, H, BLOCK_H, num_stages=STAGES):
        if TMA:
            a = hidden.load([first_row, k])
            b = embedding.load([first_token, k])
        else:
            # dead rows and tokens read live ones, and are masked when they are used
            from_row = tl.minimum(row, L - 1).to(tl.int64)[:, None] * H
            from_token = tl.minimum(token, V - 1).to(tl.int64)[:, None] * H
            inside = (k + column < H)[None, :]
            a = tl.load(hidden + from_row + (k + column)[None, :], mask=inside, other=0.0)
            b = tl.load(embedding + from_token + (k + column)[None, :], mask=inside, other=0.0)
        product = tl.dot(a, b.T, product, input_precision="ieee", max_num_imprecise_acc=IMPRECISE)
    return product
