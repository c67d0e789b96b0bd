"""Matrix products: y = x Wᵀ, and the first half of an MLP: a = gelu_tanh(x Gᵀ) ⊙ (x Uᵀ).

x and W are of one dtype, or both e4m3 (W8A8) with a scale per row of each, which factor out of the
sum: y[t, n] = s_x[t] · s_w[n] · Σ_k x[t, k] W[n, k]. If x has a scale per group of 64 columns, each
group's partial sum is multiplied by its own. W holds the rows of G before those of U. As a program
sees 64 columns of a, it is stored with a scale per group of 64.

2 · T · N · K FLOPs; reads N · K and T · K elements, writes T · N. At 256 rows bound by the tensor
cores. All matrices are contiguous; their rows are multiples of 16 bytes.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from palimpsest.kernels.fused.gelu import gelu_tanh
from palimpsest.kernels.fused.overlap import how_to_launch, in_turn
from palimpsest.kernels.fused.rounding import INTERPRETED, Rounded, e4m3
from palimpsest.kernels.fused.tiles import load_tile, tiled
from palimpsest.kernels.quantise import GROUP
from palimpsest.kernels.shapes import Hidden

ROW_BYTES = 128
"""Of a tile: what one row of it takes in shared memory."""


def linear_reference(x: Rounded, weight: Rounded, *, dtype: torch.dtype) -> Hidden:
    return (x.exact() @ weight.exact().T).to(dtype)


def linear(x: Rounded, weight: Rounded, *, dtype: torch.dtype, tma: bool | None = None) -> Hidden:
    """[T, N] in `dtype` from x [T, K] and weight [N, K]."""
    (rows, depth), columns = x.values.shape, weight.values.shape[0]
    y = x.values.new_empty(rows, columns, dtype=dtype)
    block_n, block_k = 128, _block_k(x)
    weights, tma = tiled(weight.values, (block_n, block_k), tma=tma)
    # narrow ones would leave most of the multiprocessors idle with larger tiles
    block_m = 128 if tma and columns >= 4096 else 64
    _linear_kernel[(triton.cdiv(rows, block_m) * triton.cdiv(columns, block_n),)](
        tiled(x.values, (block_m, block_k), tma=tma)[0],
        x.scales,
        weights,
        weight.scales,
        y,
        rows,
        columns,
        K=depth,
        BLOCK_M=block_m,
        BLOCK_N=block_n,
        BLOCK_K=block_k,
        GROUPED=_grouped(x),
        TMA=tma,
        num_warps=block_m // 16,
        num_stages=4 if tma else 3,
        **how_to_launch(),
    )
    return y


def gated_linear_reference(x: Rounded, weight: Rounded, *, dtype: torch.dtype) -> Rounded:
    gate, up = linear_reference(x, weight, dtype=torch.float32).to(dtype).chunk(2, dim=-1)
    gated = torch.nn.functional.gelu(gate, approximate="tanh") * up
    return Rounded.grouped(gated, quantised=x.scales is not None)


def gated_linear(
    x: Rounded, weight: Rounded, *, dtype: torch.dtype, tma: bool | None = None
) -> Rounded:
    """[T, I], rounded as x is, from x [T, K] and weight [2 I, K]."""
    (rows, depth), columns = x.values.shape, weight.values.shape[0] // 2
    made = Rounded.empty_grouped(x.values, rows, columns, dtype=dtype if x.scales is None else None)
    block_m, block_k = 64, _block_k(x)
    weights, tma = tiled(weight.values, (GROUP, block_k), tma=tma)
    _gated_linear_kernel[(triton.cdiv(rows, block_m) * triton.cdiv(columns, GROUP),)](
        tiled(x.values, (block_m, block_k), tma=tma)[0],
        x.scales,
        weights,
        weight.scales,
        made.values,
        made.scales,
        rows,
        columns,
        K=depth,
        BLOCK_M=block_m,
        BLOCK_N=GROUP,
        BLOCK_K=block_k,
        TMA=tma,
        EMULATED=INTERPRETED,
        num_warps=4,
        num_stages=4 if tma else 3,
        **how_to_launch(),
    )
    return made


def _grouped(x: Rounded) -> bool:
    return x.scales is not None and x.scales.ndim == 2


def _block_k(x: Rounded) -> int:
    return GROUP if _grouped(x) else ROW_BYTES // x.values.element_size()


@triton.jit
def _linear_kernel(
    x,
    x_scales,
    weight,
    weight_scales,
    y,
    rows,
    columns,
    K: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    GROUPED: tl.constexpr,
    TMA: tl.constexpr,
):
    in_turn()
    # programs with the same weights run beside each other, so those are read once
    tiles_m = tl.cdiv(rows, BLOCK_M)
    m = tl.program_id(0) % tiles_m * BLOCK_M
    n = tl.program_id(0) // tiles_m * BLOCK_N
    r = m + tl.arange(0, BLOCK_M)
    c = n + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for k in tl.range(0, K, BLOCK_K):
        a = load_tile(x, m, k, rows, K, BLOCK_M, BLOCK_K, TMA)
        b = load_tile(weight, n, k, columns, K, BLOCK_N, BLOCK_K, TMA)
        if GROUPED:
            group = tl.load(
                x_scales + r * tl.cdiv(K, BLOCK_K) + k // BLOCK_K, mask=r < rows, other=0.0
            )
            total += multiply(a, b, None) * group[:, None]
        else:
            total = multiply(a, b, total)
    total = scaled(total, None if GROUPED else x_scales, weight_scales, r, c, rows, columns)
    places = r.to(tl.int64)[:, None] * columns + c[None, :]
    inside = (r < rows)[:, None] & (c < columns)[None, :]
    tl.store(y + places, total.to(y.dtype.element_ty), mask=inside)


@triton.jit
def _gated_linear_kernel(
    x,
    x_scales,
    weight,
    weight_scales,
    gated,
    gated_scales,
    rows,
    columns,
    K: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    TMA: tl.constexpr,
    EMULATED: tl.constexpr,
):
    in_turn()
    tiles_m = tl.cdiv(rows, BLOCK_M)
    m = tl.program_id(0) % tiles_m * BLOCK_M
    n = tl.program_id(0) // tiles_m * BLOCK_N
    r = m + tl.arange(0, BLOCK_M)
    c = n + tl.arange(0, BLOCK_N)
    gate = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    up = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for k in tl.range(0, K, BLOCK_K):
        a = load_tile(x, m, k, rows, K, BLOCK_M, BLOCK_K, TMA)
        gate_rows = load_tile(weight, n, k, 2 * columns, K, BLOCK_N, BLOCK_K, TMA)
        gate = multiply(a, gate_rows, gate)
        up_rows = load_tile(weight, columns + n, k, 2 * columns, K, BLOCK_N, BLOCK_K, TMA)
        up = multiply(a, up_rows, up)
    gate = scaled(gate, x_scales, weight_scales, r, c, rows, columns)
    up = scaled(up, x_scales, weight_scales, r, columns + c, rows, 2 * columns)
    inside = (r < rows)[:, None] & (c < columns)[None, :]
    places = r.to(tl.int64)[:, None] * columns + c[None, :]
    if gated_scales is None:
        # rounded where the plain path rounds
        kind: tl.constexpr = gated.dtype.element_ty
        a = gelu_tanh(gate.to(kind).to(tl.float32)).to(kind).to(tl.float32) * up.to(kind).to(
            tl.float32
        )
        tl.store(gated + places, a.to(kind), mask=inside)
    else:
        a = tl.where(inside, gelu_tanh(gate) * up, 0.0)
        scales = tl.maximum(tl.max(tl.abs(a), 1) / 448.0, 1e-12)
        tl.store(gated_scales + r * tl.cdiv(columns, BLOCK_N) + n // BLOCK_N, scales, r < rows)
        tl.store(gated + places, e4m3(a / scales[:, None], EMULATED), mask=inside)


@triton.jit
def multiply(a, b, total):
    """total + a bᵀ in fp32. Eight-bit products are added up in full precision after each tile:
    Hopper's tensor cores keep about 14 bits of such sums.
    """
    return tl.dot(
        a,
        b.T,
        total,
        input_precision="ieee",
        max_num_imprecise_acc=a.shape[1],
        out_dtype=tl.float32,
    )


@triton.jit
def scaled(total, row_scales, column_scales, r, c, rows, columns):
    """Times the scale of each row and of each column, where there are any."""
    if row_scales is not None:
        total *= tl.load(row_scales + r, mask=r < rows, other=0.0)[:, None]
    if column_scales is not None:
        total *= tl.load(column_scales + c, mask=c < columns, other=0.0)[None, :]
    return total
