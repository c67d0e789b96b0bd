"""Canvases on their way to the device's step, and what it says of them on the way back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from palimpsest.engine.diffusion import StepFigures
from palimpsest.engine.gpu.layout import Fields, Numbers
from palimpsest.engine.gpu.sampler import CanvasBatch, StepReading
from palimpsest.engine.gpu.store import CanvasStore
from palimpsest.engine.sampling import Sampling
from palimpsest.engine.schedule import TemperatureSchedule
from palimpsest.kernels.fused.settle import CanvasRules, Settled


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepping:
    """A canvas of a store before its next step."""

    place: int
    canvas_index: int
    step: int
    """Steps done."""
    sampling: Sampling

    @property
    def temperature(self) -> float:
        return TemperatureSchedule.of(self.sampling).at(self.step + 1)

    def numbers(self) -> tuple[int | float, ...]:
        """In the order of `canvas_fields`."""
        sampling = self.sampling
        return (
            self.place,
            _signed(sampling.seed),
            self.canvas_index,
            self.step,
            1.0 / self.temperature,
            sampling.entropy_bound,
            sampling.confidence_threshold,
            sampling.stability_threshold,
            sampling.max_denoising_steps,
        )


def canvas_fields(canvases: int) -> Fields:
    """What the step reads of each."""
    kinds = {
        "place": torch.int64,
        "seeds": torch.int64,
        "canvas_index": torch.int32,
        "step": torch.int32,
        "inverse_temperature": torch.float32,
        "entropy_bound": torch.float32,
        "confidence_threshold": torch.float32,
        "stability_threshold": torch.int32,
        "max_steps": torch.int32,
    }
    return {name: (kind, canvases) for name, kind in kinds.items()}


def write_canvases(stepping: Sequence[Stepping], here: Numbers, *, nobodys: int) -> None:
    """Where fewer step than there is room for, the rest is nobody's canvas."""
    room = len(here["place"]) - len(stepping)
    rest = Stepping(
        place=nobodys, canvas_index=0, step=0, sampling=Sampling(max_output_tokens=1, seed=0)
    )
    numbers = [one.numbers() for one in (*stepping, *[rest] * room)]
    for column, name in enumerate(canvas_fields(0)):
        here[name][:] = [of_one[column] for of_one in numbers]


def batch_of(there: Mapping[str, Tensor], store: CanvasStore) -> CanvasBatch:
    """The canvases that the fields name, taken out of the store."""
    progress, soft = store.taken(there["place"], there["step"])
    rules = ("entropy_bound", "confidence_threshold", "stability_threshold", "max_steps")
    return CanvasBatch(
        progress=progress,
        rules=CanvasRules(**{name: there[name] for name in rules}),
        seeds=there["seeds"],
        canvas_index=there["canvas_index"],
        inverse_temperature=there["inverse_temperature"],
        soft_embedding=soft,
    )


def empty_reading(canvases: int, length: int, *, pinned: bool) -> StepReading:
    """Memory of the host for what a step says."""

    def empty(dtype: torch.dtype, *of_each: int) -> Tensor:
        return torch.empty(canvases, *of_each, dtype=dtype, pin_memory=pinned)

    return StepReading(
        settled=Settled(
            accepted=empty(torch.int8, length),
            changed_count=empty(torch.int32),
            mean_entropy=empty(torch.float32),
            converged=empty(torch.int8),
            done=empty(torch.int8),
        ),
        argmax=empty(torch.int32, length),
        entropy=empty(torch.float32, length),
        confidence=empty(torch.float32, length),
    )


def copy_reading(source: StepReading, target: StepReading, *, first: int) -> None:
    """To the canvases from `first` on, without waiting for it."""
    for one, other in zip(_tensors(source), _tensors(target), strict=True):
        other[first : first + len(one)].copy_(one, non_blocking=True)


def figures_of(reading: StepReading, stepping: Sequence[Stepping]) -> list[StepFigures]:
    """What the step did to each canvas, from the host's memory, which the next one overwrites."""
    settled = reading.settled
    changed, mean = settled.changed_count.tolist(), settled.mean_entropy.tolist()
    converged, done = settled.converged.tolist(), settled.done.tolist()
    return [
        StepFigures(
            temperature=one.temperature,
            accepted=settled.accepted[i].bool(),
            confidence=reading.confidence[i],
            changed_count=changed[i],
            mean_entropy=mean[i],
            done=bool(done[i]),
            converged=bool(converged[i]),
            entropy=reading.entropy[i],
        )
        for i, one in enumerate(stepping)
    ]


def _tensors(reading: StepReading) -> tuple[Tensor, ...]:
    settled = reading.settled
    return (
        *(settled.accepted, settled.changed_count, settled.mean_entropy),
        *(settled.converged, settled.done),
        *(reading.argmax, reading.entropy, reading.confidence),
    )


def _signed(seed: int) -> int:
    """The same 64 bits, as int64 has them."""
    return seed - 2**64 if seed >= 2**63 else seed
