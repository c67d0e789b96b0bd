"""A denoising step of B canvases on the device, from hidden rows to the next canvases.

The counterpart of `diffusion.denoise` for canvases that leave logits and draw as they are. Like the
network, it only launches.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from palimpsest.engine.shapes import Canvases, Hidden, PerPosition, SoftEmbedding
from palimpsest.kernels.fused.lm_head import lm_head
from palimpsest.kernels.fused.noise import noise
from palimpsest.kernels.fused.rounding import Rounded
from palimpsest.kernels.fused.sampling import read_rows
from palimpsest.kernels.fused.settle import CanvasProgress, CanvasRules, Settled, settle
from palimpsest.kernels.fused.soft_embedding import soft_embedding


@dataclass(frozen=True, slots=True, kw_only=True)
class CanvasBatch:
    """What the device knows of B canvases of C tokens. Moved on in place by every step."""

    progress: CanvasProgress
    rules: CanvasRules
    seeds: Tensor
    """[B] int64"""
    canvas_index: Tensor
    """[B] int32"""
    inverse_temperature: Tensor
    """[B] fp32, of the step to come."""
    soft_embedding: SoftEmbedding
    """[B · C, H], of the step before; zeros at the first."""

    def part(self, first: int, last: int) -> CanvasBatch:
        """Canvases first to last - 1, in the same memory."""
        of, rules = slice(first, last), self.rules
        length = self.progress.tokens.shape[1]
        return CanvasBatch(
            progress=CanvasProgress(
                tokens=self.progress.tokens[of],
                draft=self.progress.draft[of],
                unchanged_steps=self.progress.unchanged_steps[of],
                step=self.progress.step[of],
            ),
            rules=CanvasRules(
                entropy_bound=rules.entropy_bound[of],
                confidence_threshold=rules.confidence_threshold[of],
                stability_threshold=rules.stability_threshold[of],
                max_steps=rules.max_steps[of],
            ),
            seeds=self.seeds[of],
            canvas_index=self.canvas_index[of],
            inverse_temperature=self.inverse_temperature[of],
            soft_embedding=self.soft_embedding[first * length : last * length],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReading:
    """What one step says of its canvases, [B, C] each, besides `settled`."""

    settled: Settled
    argmax: Canvases
    entropy: PerPosition
    confidence: PerPosition


def step(
    batch: CanvasBatch,
    hidden: Hidden,
    *,
    embedding: Tensor,
    coded: Rounded | None,
    embedding_scale: float,
    softcap: float,
) -> StepReading:
    """Draws, accepts, renoises and tells the next step, from final hidden rows [B · C, H]. Logits
    are read off the `coded` embedding if there is one.
    """
    canvases, length = batch.progress.tokens.shape
    vocabulary = len(embedding)
    uniforms, renoised = noise(
        seeds=batch.seeds,
        canvas_index=batch.canvas_index,
        step=batch.progress.step + 1,
        length=length,
        vocabulary_size=vocabulary,
    )
    summary = lm_head(
        hidden=hidden,
        embedding=embedding,
        coded=coded,
        inverse_temperature=batch.inverse_temperature.repeat_interleave(
            length, output_size=canvases * length
        ),
        softcap=softcap,
    )
    reading = read_rows(summary, uniforms.flatten(), vocabulary_size=vocabulary)
    argmax, entropy, drawn, confidence = (
        rows.view(canvases, length)
        for rows in (reading.argmax, reading.entropy, reading.drawn, reading.confidence)
    )
    settled = settle(
        batch.progress, batch.rules, entropy=entropy, drawn=drawn, argmax=argmax, noise=renoised
    )
    soft = soft_embedding(summary, reading, embedding=embedding, scale=embedding_scale)
    batch.soft_embedding.copy_(soft)
    return StepReading(settled=settled, argmax=argmax, entropy=entropy, confidence=confidence)
