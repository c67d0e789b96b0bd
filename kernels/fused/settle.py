"""How a step of a canvas ends: which draws are accepted, what is renoised, and whether it is done.

The surest position is accepted, and others while the entropies of the surer ones sum to at most
the bound (../sampling.py, accept). Nothing is sorted: the surer ones of every position, equals by
their order, are summed from a comparison of all with all, in the same order for every position, so
that a less sure one never has the smaller sum. A canvas has converged when its argmax was stable
for long enough and its mean entropy is low (transformers, StableAndConfidentStoppingCriteria).

Reads 20 · B · C bytes and writes 9 · B · C; 3 · B · C² comparisons and sums.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from palimpsest.kernels.fused.overlap import how_to_launch, in_turn
from palimpsest.kernels.sampling import accept
from palimpsest.kernels.shapes import Canvases, PerPosition

Count = Int[Tensor, " B"]
Number = Float[Tensor, " B"]
Flags = Int[Tensor, " B"]
FlagPerPosition = Int[Tensor, "B C"]

BLOCK_J = 32
"""Positions that all are compared with at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CanvasRules:
    """When draws are accepted and canvases stop."""

    entropy_bound: Number
    confidence_threshold: Number
    stability_threshold: Count
    max_steps: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class CanvasProgress:
    """What is kept of canvases between steps, and moved on in place."""

    tokens: Canvases
    """What the network sees next: accepted draws among random tokens."""
    draft: Canvases
    """The last argmax; -1 before the first step."""
    unchanged_steps: Count
    """Steps in a row that left the argmax as it was."""
    step: Count
    """Steps done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What one step did to its canvases; flags are int8."""

    accepted: FlagPerPosition
    changed_count: Count
    mean_entropy: Number
    converged: Flags
    done: Flags
    """Converged, or out of steps."""


def settle_reference(
    progress: CanvasProgress,
    rules: CanvasRules,
    *,
    entropy: PerPosition,
    drawn: Canvases,
    argmax: Canvases,
    noise: Canvases,
) -> Settled:
    accepted = accept(entropy, entropy_bound=rules.entropy_bound)
    changed = (argmax != progress.draft).sum(dim=-1)
    progress.tokens.copy_(torch.where(accepted, drawn, noise))
    progress.draft.copy_(argmax)
    progress.unchanged_steps.copy_(torch.where(changed > 0, 0, progress.unchanged_steps + 1))
    progress.step.add_(1)
    mean_entropy = entropy.mean(dim=-1)
    stable = progress.unchanged_steps >= rules.stability_threshold
    converged = stable & (mean_entropy < rules.confidence_threshold)
    return Settled(
        accepted=accepted.to(torch.int8),
        changed_count=changed.int(),
        mean_entropy=mean_entropy,
        converged=converged.to(torch.int8),
        done=(converged | (progress.step >= rules.max_steps)).to(torch.int8),
    )


def settle(
    progress: CanvasProgress,
    rules: CanvasRules,
    *,
    entropy: PerPosition,
    drawn: Canvases,
    argmax: Canvases,
    noise: Canvases,
) -> Settled:
    """Moves canvases one step on, all of whose tensors are contiguous; token ids are int32."""
    canvases, length = entropy.shape
    flags = [entropy.new_empty(canvases, dtype=torch.int8) for _ in range(2)]
    made = Settled(
        accepted=entropy.new_empty(canvases, length, dtype=torch.int8),
        changed_count=entropy.new_empty(canvases, dtype=torch.int32),
        mean_entropy=entropy.new_empty(canvases),
        converged=flags[0],
        done=flags[1],
    )
    block = max(triton.next_power_of_2(length), BLOCK_J)
    _settle_kernel[(canvases,)](
        entropy,
        drawn,
        argmax,
        noise,
        rules.entropy_bound,
        rules.confidence_threshold,
        rules.stability_threshold,
        rules.max_steps,
        progress.tokens,
        progress.draft,
        progress.unchanged_steps,
        progress.step,
        made.accepted,
        made.changed_count,
        made.mean_entropy,
        made.converged,
        made.done,
        C=length,
        BLOCK=block,
        BLOCK_J=BLOCK_J,
        num_warps=8,
        **how_to_launch(),
    )
    return made


@triton.jit
def _settle_kernel(
    entropy,
    drawn,
    argmax,
    noise,
    entropy_bound,
    confidence_threshold,
    stability_threshold,
    max_steps,
    tokens,
    draft,
    unchanged_steps,
    step,
    accepted,
    changed_count,
    mean_entropy,
    converged,
    done,
    C: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_J: tl.constexpr,
):
    in_turn()
    canvas = tl.program_id(0).to(tl.int64)
    i = tl.arange(0, BLOCK)
    mask = i < C
    place = canvas * C + i
    e = tl.load(entropy + place, mask=mask, other=0.0)

    surer = _sum_of_surer(entropy + canvas * C, e, i, C, BLOCK, BLOCK_J)
    taken = surer <= tl.load(entropy_bound + canvas)
    tl.store(accepted + place, taken.to(tl.int8), mask=mask)
    draws = tl.load(drawn + place, mask=mask, other=0)
    random = tl.load(noise + place, mask=mask, other=0)
    tl.store(tokens + place, tl.where(taken, draws, random), mask=mask)

    best = tl.load(argmax + place, mask=mask, other=0)
    before = tl.load(draft + place, mask=mask, other=0)
    tl.store(draft + place, best, mask=mask)
    changed = tl.sum((best != before).to(tl.int32), 0)
    tl.store(changed_count + canvas, changed)
    unchanged = tl.where(changed > 0, 0, tl.load(unchanged_steps + canvas) + 1)
    tl.store(unchanged_steps + canvas, unchanged)

    mean = tl.sum(e, 0) / C
    tl.store(mean_entropy + canvas, mean)
    stable = unchanged >= tl.load(stability_threshold + canvas)
    calm = stable & (mean < tl.load(confidence_threshold + canvas))
    tl.store(converged + canvas, calm.to(tl.int8))
    steps = tl.load(step + canvas) + 1
    tl.store(step + canvas, steps)
    tl.store(done + canvas, (calm | (steps >= tl.load(max_steps + canvas))).to(tl.int8))


@triton.jit
def _sum_of_surer(entropy, e, i, C: tl.constexpr, BLOCK: tl.constexpr, BLOCK_J: tl.constexpr):
    """Of every position [BLOCK], the entropies of those before it in order of entropy."""
    total = tl.zeros((BLOCK,), tl.float32)
    for first in range(0, C, BLOCK_J):
        j = first + tl.arange(0, BLOCK_J)
        other = tl.load(entropy + j, mask=j < C, other=float("inf"))[None, :]
        before = (other < e[:, None]) | ((other == e[:, None]) & (j[None, :] < i[:, None]))
        total += tl.sum(tl.where(before, other, 0.0), 1)
    return total
