"""From projected rows to what attention reads, and to what stays in the cache.

q = rotate(norm(q) · w_q), k = rotate(norm(k) · w_k), v = norm(v), each head by itself; full layers
have no v, theirs is the raw k (transformers, Gemma4TextAttention). Cosines and sines are read, not
made: angles reach 262,144, where only the slow path of libdevice is exact, which keeps an array on
the stack. One pair of tables serves all layers of a kind.

A row of `projected` is q, k, v, or q, k where values are shared with keys; all is contiguous.
Reads T · (N + 2G) · D elements (N + G where shared) and D of tables per row, writes as many and
2 · G · D more for a row that stays; about 8 · T · (N + 2G) · D FLOPs. No value is stored as NaN,
which a weight of 0 in attention would not cancel; keys may be, and show it.
"""

from __future__ import annotations

from dataclasses import dataclass

import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from palimpsest.kernels.fused.overlap import how_to_launch, in_turn
from palimpsest.kernels.norm import rms_norm
from palimpsest.kernels.rope import rotate
from palimpsest.kernels.shapes import Keys, NormWeight, Queries, Rotation, Slots


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadNorms:
    """Weights [D] of the norms of queries and keys. Values have none."""

    query: NormWeight
    key: NormWeight
    epsilon: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationTables:
    """Cosines and sines [T, D] as `rope.rotation` makes them: the two halves of a row are equal."""

    cosine: Rotation
    sine: Rotation


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyValueRows:
    """Keys and values [M, G, D] of the rows of a pass, or of a cache."""

    keys: Keys
    values: Keys


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSlots:
    """The cache of a layer, and where in it each row of a pass goes: [T] int32, -1 for nowhere."""

    cache: KeyValueRows
    slots: Slots


Projected = Float[Tensor, "T width"]


def heads_reference(
    projected: Projected,
    norms: HeadNorms,
    tables: RotationTables,
    *,
    num_heads: int,
    num_groups: int,
    stays: CacheSlots | None,
) -> tuple[Queries, KeyValueRows]:
    width = norms.query.shape[0]
    parts = projected.unflatten(-1, (-1, width)).split(
        [num_heads, num_groups, projected.shape[1] // width - num_heads - num_groups], dim=1
    )
    query, key = (
        rotate(rms_norm(part, weight, epsilon=norms.epsilon), tables.cosine, tables.sine)
        for part, weight in ((parts[0], norms.query), (parts[1], norms.key))
    )
    value = rms_norm(parts[2] if parts[2].shape[1] else parts[1], None, epsilon=norms.epsilon)
    made = KeyValueRows(keys=key, values=value.where(value.isfinite(), 0.0))
    if stays is not None:
        rows = stays.slots >= 0
        stays.cache.keys[stays.slots[rows]] = made.keys[rows]
        stays.cache.values[stays.slots[rows]] = made.values[rows]
    return query, made


def heads(
    projected: Projected,
    norms: HeadNorms,
    tables: RotationTables,
    *,
    num_heads: int,
    num_groups: int,
    stays: CacheSlots | None,
) -> tuple[Queries, KeyValueRows]:
    """Queries [T, N, D], keys and values [T, G, D]; rows that stay are written to their slots."""
    rows, total = projected.shape
    width = norms.query.shape[0]
    shared = total == (num_heads + num_groups) * width
    assert num_heads % num_groups == 0 and tables.cosine.dtype == projected.dtype
    assert shared or total == (num_heads + 2 * num_groups) * width
    query = projected.new_empty(rows, num_heads, width)
    made = KeyValueRows(
        keys=projected.new_empty(rows, num_groups, width),
        values=projected.new_empty(rows, num_groups, width),
    )
    cache_keys = cache_values = slots = None
    if stays is not None:
        cache_keys, cache_values, slots = stays.cache.keys, stays.cache.values, stays.slots
    share = num_heads // num_groups
    block_g, block_d = (triton.next_power_of_2(n) for n in (num_groups, width // 2))
    _heads_kernel[(rows, share + (1 if shared else 2))](
        projected,
        tables.cosine,
        tables.sine,
        norms.query,
        norms.key,
        query,
        made.keys,
        made.values,
        cache_keys,
        cache_values,
        slots,
        norms.epsilon,
        SHARE=share,
        G=num_groups,
        D=width,
        SHARED=shared,
        BLOCK_G=block_g,
        BLOCK_D=block_d,
        num_warps=max(1, block_g * block_d // (32 * 8)),  # 16 bytes a load
        **how_to_launch(),
    )
    return query, made


@triton.jit
def _heads_kernel(
    projected,
    cosine,
    sine,
    query_weight,
    key_weight,
    queries,
    keys,
    values,
    cache_keys,
    cache_values,
    slots,
    epsilon,
    SHARE: tl.constexpr,
    G: tl.constexpr,
    D: tl.constexpr,
    SHARED: tl.constexpr,
    BLOCK_G: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    in_turn()
    # G heads a program: the first SHARE programs of a row have queries, then come keys and values
    row = tl.program_id(0).to(tl.int64)
    part = tl.program_id(1)
    head = tl.arange(0, BLOCK_G)[:, None]
    column = tl.arange(0, BLOCK_D)[None, :]
    place = head * D + column  # of the first half of a head; the other is D / 2 further
    mask = (head < G) & (column < D // 2)
    TOTAL: tl.constexpr = (SHARE + 1) * G * D if SHARED else (SHARE + 2) * G * D
    source = projected + row * TOTAL + part * (G * D)
    first, second = _normed(source, place, mask, epsilon, D)

    if part < SHARE:
        one, other = _turned(first, second, query_weight, cosine, sine, row, column, D)
        _store(queries + row * (SHARE * G * D) + part * (G * D), place, mask, one, other, D)
    slot = -1 if slots is None else tl.load(slots + row).to(tl.int64)
    if part == SHARE:
        one, other = _turned(first, second, key_weight, cosine, sine, row, column, D)
        _store(keys + row * (G * D), place, mask, one, other, D)
        if slots is not None:
            _store(cache_keys + slot * (G * D), place, mask & (slot >= 0), one, other, D)
    if part == (SHARE if SHARED else SHARE + 1):
        # NaN is not equal to itself
        first = tl.where(first == first, first, 0.0)
        second = tl.where(second == second, second, 0.0)
        _store(values + row * (G * D), place, mask, first, second, D)
        if slots is not None:
            _store(cache_values + slot * (G * D), place, mask & (slot >= 0), first, second, D)


@triton.jit
def _normed(source, place, mask, epsilon, D: tl.constexpr):
    """Both halves of each head, normalised, in fp32."""
    first = tl.load(source + place, mask=mask, other=0.0).to(tl.float32)
    second = tl.load(source + place + D // 2, mask=mask, other=0.0).to(tl.float32)
    scale = tl.rsqrt(tl.sum(first * first + second * second, 1) / D + epsilon)[:, None]
    return first * scale, second * scale


@triton.jit
def _turned(first, second, weight, cosine, sine, row, column, D: tl.constexpr):
    """The halves times their weights, turned."""
    mask = column < D // 2
    dtype: tl.constexpr = cosine.dtype.element_ty
    w1 = tl.load(weight + column, mask=mask, other=0.0).to(tl.float32)
    w2 = tl.load(weight + column + D // 2, mask=mask, other=0.0).to(tl.float32)
    # rounded where the plain path rounds
    first = (first * w1).to(dtype).to(tl.float32)
    second = (second * w2).to(dtype).to(tl.float32)
    c = tl.load(cosine + row * D + column, mask=mask, other=0.0).to(tl.float32)
    s = tl.load(sine + row * D + column, mask=mask, other=0.0).to(tl.float32)
    return first * c - second * s, second * c + first * s


@triton.jit
def _store(target, place, mask, first, second, D: tl.constexpr):
    dtype: tl.constexpr = target.dtype.element_ty
    tl.store(target + place, first.to(dtype), mask=mask)
    tl.store(target + place + D // 2, second.to(dtype), mask=mask)
