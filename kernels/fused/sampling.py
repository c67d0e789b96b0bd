"""From the summaries of a step's rows to what is drawn of them.

With M = max m over the tiles of a row and Z = Σ s e^(m-M): the argmax is the first token of the
first tile with m = M, its probability is 1 / Z, and the entropy is

    log Z - Σ e^(m-M) (u + s (m-M)) / Z

in nats, neither part of which is ever negative. One uniform draws the tile by the shares
s e^(m-M), then the token by the weights inside (../sampling.py). Sums of a draw are in fp64, as
there: a row has 1,024 tiles of 256 tokens, so that is little work even where fp64 is slow.

With t tiles of W tokens: reads 16 · L · t bytes and L · W weights, writes 24 · L bytes; about
40 · L · t FLOPs.
"""

from __future__ import annotations

from dataclasses import dataclass

import triton
import triton.language as tl

from palimpsest.kernels.fused.lm_head import Summary
from palimpsest.kernels.fused.overlap import how_to_launch, in_turn
from palimpsest.kernels.sampling import draw
from palimpsest.kernels.shapes import Canvas, PerRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a step reads off its logits, per row [C]."""

    argmax: Canvas
    drawn: Canvas
    confidence: PerRow
    """Probability of the argmax."""
    entropy: PerRow
    """Nats."""
    maximum: PerRow
    """M, the largest logit."""
    total: PerRow
    """Z, so that a token's probability is e^(z-M) / Z."""


def read_rows_reference(summary: Summary, uniforms: PerRow, *, vocabulary_size: int) -> Reading:
    maximum, tile = summary.maxima.max(dim=-1).values, summary.maxima.argmax(dim=-1)
    below = (summary.maxima - maximum[:, None]).double()
    shares = summary.sums * below.exp()
    total = shares.sum(dim=-1)
    # weights as stored are rounded, and their sums are not
    weights = summary.weights.double().unflatten(1, (-1, summary.tile))
    weights = weights * (shares / weights.sum(dim=-1))[..., None]
    moments = below.exp() * (summary.moments + summary.sums * below)
    return Reading(
        argmax=summary.argmax.gather(1, tile[:, None])[:, 0],
        drawn=draw(weights.flatten(1)[:, :vocabulary_size], uniforms).int(),
        confidence=(1 / total).float(),
        entropy=(total.log() - moments.sum(dim=-1) / total).float(),
        maximum=maximum,
        total=total.float(),
    )


def read_rows(summary: Summary, uniforms: PerRow, *, vocabulary_size: int) -> Reading:
    rows, tiles = summary.maxima.shape
    ids = [summary.argmax.new_empty(rows) for _ in range(2)]
    numbers = [summary.maxima.new_empty(rows) for _ in range(4)]
    made = Reading(
        argmax=ids[0],
        drawn=ids[1],
        confidence=numbers[0],
        entropy=numbers[1],
        maximum=numbers[2],
        total=numbers[3],
    )
    _read_rows_kernel[(rows,)](
        summary.weights,
        summary.maxima,
        summary.sums,
        summary.moments,
        summary.argmax,
        uniforms,
        made.argmax,
        made.drawn,
        made.confidence,
        made.entropy,
        made.maximum,
        made.total,
        V=vocabulary_size,
        TILES=tiles,
        TILE=summary.tile,
        BLOCK=triton.next_power_of_2(tiles),
        num_warps=4,
        **how_to_launch(),
    )
    return made


@triton.jit
def _read_rows_kernel(
    weights,
    maxima,
    sums,
    moments,
    tile_argmax,
    uniforms,
    argmax,
    drawn,
    confidence,
    entropy,
    maximum,
    total,
    V: tl.constexpr,
    TILES: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    in_turn()
    row = tl.program_id(0).to(tl.int64)
    tile = tl.arange(0, BLOCK)
    mask = tile < TILES
    place = row * TILES + tile
    m = tl.load(maxima + place, mask=mask, other=-float("inf"))
    s = tl.load(sums + place, mask=mask, other=0.0)
    u = tl.load(moments + place, mask=mask, other=0.0)

    largest = tl.max(m, 0)
    # rows that are no numbers still name tiles and tokens that exist
    best = tl.min(tl.where(m == largest, tile, TILES - 1), 0)
    tl.store(argmax + row, tl.load(tile_argmax + row * TILES + best))
    below = tl.where(mask, m - largest, 0.0)
    scale = tl.exp(below)
    share = s * scale
    z = tl.sum(share, 0)
    tl.store(maximum + row, largest)
    tl.store(total + row, z)
    tl.store(confidence + row, 1.0 / z)
    tl.store(entropy + row, tl.log(z) - tl.sum((u + s * below) * scale, 0) / z)

    uniform = tl.load(uniforms + row).to(tl.float64)
    picked, inside = _pick(share.to(tl.float64), tile, uniform, BLOCK)
    token = tl.arange(0, TILE)
    first = picked * TILE
    w = tl.load(weights + row * (TILES * TILE) + first + token)
    token, _ = _pick(w.to(tl.float64), token, inside, TILE)
    tl.store(drawn + row, tl.minimum(first + token, V - 1))


@triton.jit
def _pick(weights, index, uniform, N: tl.constexpr):
    """Index by inverse CDF, and where in the picked weight the uniform fell."""
    sums = tl.cumsum(weights, 0)
    target = uniform * tl.max(sums, 0)
    some = weights > 0.0
    # none is above if rounding reached the total: then it is the last with any weight
    above = tl.min(tl.where(some & (sums > target), index, N), 0)
    picked = tl.minimum(above, tl.max(tl.where(some, index, 0), 0))
    weight = tl.sum(tl.where(index == picked, weights, 0.0), 0)
    reached = tl.sum(tl.where(index == picked, sums, 0.0), 0)
    return picked, (target - (reached - weight)) / weight
