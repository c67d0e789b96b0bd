"""The random decisions of one step of B canvases, from counters.

Philox4x32-10 (../philox.py) with counter (position, step, canvas index, 0) and the seed as key; the
first word w of a position draws, as u = floor(w / 2^8) / 2^24, and the second renoises, as the
token floor(w · V / 2^32).

Writes 8 bytes per position; about 100 integer operations each.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from jaxtyping import Int
from torch import Tensor

from palimpsest.kernels.fused.overlap import how_to_launch, in_turn
from palimpsest.kernels.philox import philox
from palimpsest.kernels.shapes import Canvases, PerPosition

Seeds = Int[Tensor, " B"]
Counts = Int[Tensor, " B"]

BLOCK = 256


def noise_reference(
    *, seeds: Seeds, canvas_index: Counts, step: Counts, length: int, vocabulary_size: int
) -> tuple[PerPosition, Canvases]:
    position = torch.arange(length, device=seeds.device)
    zero = torch.zeros((), dtype=torch.int64, device=seeds.device)
    counter = (position, step.long()[:, None], canvas_index.long()[:, None], zero)
    low, high = seeds & 0xFFFFFFFF, (seeds >> 32) & 0xFFFFFFFF
    for_draw, for_noise, _, _ = philox(counter, (low[:, None], high[:, None]))
    uniforms = (for_draw >> 8).float() * 2.0**-24
    return uniforms, ((for_noise * vocabulary_size) >> 32).int()


def noise(
    *, seeds: Seeds, canvas_index: Counts, step: Counts, length: int, vocabulary_size: int
) -> tuple[PerPosition, Canvases]:
    """Uniforms in [0, 1) and tokens, [B, C] each, of the steps `step`, whose first is 1.

    Seeds are int64, of which all 64 bits count.
    """
    canvases = len(seeds)
    uniforms = seeds.new_empty(canvases, length, dtype=torch.float32)
    tokens = seeds.new_empty(canvases, length, dtype=torch.int32)
    _noise_kernel[(canvases, triton.cdiv(length, BLOCK))](
        seeds,
        canvas_index,
        step,
        uniforms,
        tokens,
        C=length,
        V=vocabulary_size,
        BLOCK=BLOCK,
        num_warps=4,
        **how_to_launch(),
    )
    return uniforms, tokens


@triton.jit
def _noise_kernel(
    seeds,
    canvas_index,
    step,
    uniforms,
    tokens,
    C: tl.constexpr,
    V: tl.constexpr,
    BLOCK: tl.constexpr,
):
    in_turn()
    canvas = tl.program_id(0).to(tl.int64)
    position = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    zero = position * 0
    for_draw, for_noise, _, _ = tl.philox(
        tl.load(seeds + canvas),
        position,
        zero + tl.load(step + canvas),
        zero + tl.load(canvas_index + canvas),
        zero,
    )
    place, mask = canvas * C + position, position < C
    # 24 bits, so that fp32 holds every value and none rounds up to 1
    tl.store(uniforms + place, (for_draw >> 8).to(tl.float32) * (1.0 / 16777216.0), mask=mask)
    token = tl.umulhi(for_noise, tl.full((BLOCK,), V, tl.uint32))
    tl.store(tokens + place, token.to(tl.int32), mask=mask)
