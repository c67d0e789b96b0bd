"""Canvases on their way to the device's step and back."""

from __future__ import annotations

from collections.abc import Sequence as Ordered

import torch
from torch import Tensor

from palimpsest.engine.diffusion import CanvasState, StepFigures
from palimpsest.engine.gpu.sampler import CanvasBatch, StepReading
from palimpsest.engine.sampling import Sampling
from palimpsest.engine.schedule import TemperatureSchedule
from palimpsest.engine.sequence import Sequence
from palimpsest.engine.shapes import Hidden
from palimpsest.kernels.fused.settle import CanvasProgress, CanvasRules


def canvas_batch(
    canvases: Ordered[CanvasState], sequences: Ordered[Sequence], like: Hidden
) -> CanvasBatch:
    """B canvases of one length before their next step; `like` has the device and the dtype."""
    samplings = [sequence.request.sampling for sequence in sequences]
    length, width = like.shape

    def whole(numbers: Ordered[int], dtype: torch.dtype = torch.int32) -> Tensor:
        return torch.tensor(numbers, dtype=dtype, device=like.device)

    def real(numbers: Ordered[float]) -> Tensor:
        return torch.tensor(numbers, dtype=torch.float32, device=like.device)

    undrafted = whole([-1] * length)
    drafts = [undrafted if canvas.draft is None else canvas.draft for canvas in canvases]
    temperatures = map(_temperature, canvases, samplings)
    return CanvasBatch(
        progress=CanvasProgress(
            tokens=torch.stack([canvas.token_ids for canvas in canvases]).to(torch.int32),
            draft=torch.stack([draft.to(torch.int32) for draft in drafts]),
            unchanged_steps=whole([canvas.unchanged_steps for canvas in canvases]),
            step=whole([canvas.step for canvas in canvases]),
        ),
        rules=CanvasRules(
            entropy_bound=real([sampling.entropy_bound for sampling in samplings]),
            confidence_threshold=real([sampling.confidence_threshold for sampling in samplings]),
            stability_threshold=whole([sampling.stability_threshold for sampling in samplings]),
            max_steps=whole([sampling.max_denoising_steps for sampling in samplings]),
        ),
        seeds=whole([_signed(sampling.seed) for sampling in samplings], torch.int64),
        canvas_index=whole([sequence.canvas_index for sequence in sequences]),
        inverse_temperature=1.0 / real(list(temperatures)),
        soft_embedding=like.new_empty(len(canvases) * length, width),
    )


def put_back(batch: CanvasBatch, canvases: Ordered[CanvasState]) -> None:
    """Moves the canvases on to where the batch is after a step."""
    soft = batch.soft_embedding.view(*batch.progress.tokens.shape, -1)
    unchanged = batch.progress.unchanged_steps.tolist()
    tokens, drafts = batch.progress.tokens.long(), batch.progress.draft.long()
    for i, canvas in enumerate(canvases):
        canvas.token_ids, canvas.draft, canvas.soft_embedding = tokens[i], drafts[i], soft[i]
        canvas.unchanged_steps = unchanged[i]
        canvas.step += 1


def figures_of(
    reading: StepReading, canvases: Ordered[CanvasState], samplings: Ordered[Sampling]
) -> list[StepFigures]:
    """What the step did to each canvas, which has been put back."""
    settled = reading.settled
    accepted = settled.accepted.bool().cpu()
    confidence, entropy = reading.confidence.cpu(), reading.entropy.cpu()
    changed, mean = settled.changed_count.tolist(), settled.mean_entropy.tolist()
    converged, done = settled.converged.tolist(), settled.done.tolist()
    return [
        StepFigures(
            temperature=TemperatureSchedule.of(sampling).at(canvas.step),
            accepted=accepted[i],
            confidence=confidence[i],
            changed_count=changed[i],
            mean_entropy=mean[i],
            done=bool(done[i]),
            converged=bool(converged[i]),
            entropy=entropy[i],
        )
        for i, (canvas, sampling) in enumerate(zip(canvases, samplings, strict=True))
    ]


def _temperature(canvas: CanvasState, sampling: Sampling) -> float:
    return TemperatureSchedule.of(sampling).at(canvas.step + 1)


def _signed(seed: int) -> int:
    """The same 64 bits, as int64 has them."""
    return seed - 2**64 if seed >= 2**63 else seed
