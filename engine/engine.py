"""The engine: commands in, one frame of events per step out.

Owns the device; knows no processes and no text. `step` reads as the architecture: receive,
schedule, run, settle, reply.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from palimpsest.engine.cache import SequenceCache
from palimpsest.engine.messages import Cancel, Command, Event, Failed, Frame, Submit
from palimpsest.engine.model import DiffusionGemma
from palimpsest.engine.noise import CounterNoise, Noise
from palimpsest.engine.scheduler import Scheduler
from palimpsest.engine.segments import run_segments
from palimpsest.engine.sequence import Limits, Pass, Phase, Sequence

NoiseFor = Callable[[Submit, int], Noise]
"""The noise of a request's canvas, by the canvas's index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A network ready to run and the limits it is served with."""

    network: DiffusionGemma
    limits: Limits
    device: torch.device

    @property
    def dtype(self) -> torch.dtype:
        """Of weights, activations and cache."""
        return self.network.embed_tokens.weight.dtype


class Engine:
    """Runs requests of one model.

    `noise_for` replaces the counter-based noise, to replay recorded draws.
    """

    def __init__(self, model: LoadedModel, *, noise_for: NoiseFor | None = None) -> None:
        self.model = model
        self.noise_for = noise_for or self._counter_noise
        self.scheduler: Scheduler[Sequence] = Scheduler()

    @property
    def busy(self) -> bool:
        """Whether `step` has anything to do."""
        return self.scheduler.busy

    @torch.inference_mode()
    def step(self, commands: Iterable[Command]) -> Frame:
        """Takes commands, runs one pass, and returns what happened."""
        self._receive(commands)
        sequence = self.scheduler.next()
        if sequence is None:
            return ()
        try:
            events = self._run(sequence)
        except torch.OutOfMemoryError as problem:
            events = [Failed(request_id=sequence.request.request_id, message=str(problem))]
            sequence.phase = Phase.DONE
        if sequence.phase is Phase.DONE:
            self.scheduler.remove(sequence.request.request_id)
        return tuple(events)

    def _receive(self, commands: Iterable[Command]) -> None:
        for command in commands:
            if isinstance(command, Submit):
                self.scheduler.add(command.request_id, self._sequence(command))
            elif isinstance(command, Cancel):
                self.scheduler.remove(command.request_id)

    def _run(self, sequence: Sequence) -> list[Event]:
        run = Pass(start_ns=time.time_ns(), batch_size=1)
        (hidden,) = run_segments(self.model.network, [sequence.segment()])
        return sequence.settle(hidden, self.model.network, run)

    def _sequence(self, request: Submit) -> Sequence:
        model = self.model
        return Sequence(
            request=request,
            cache=SequenceCache(model.network.config, dtype=model.dtype, device=model.device),
            limits=model.limits,
            noise_of=lambda canvas_index: self.noise_for(request, canvas_index),
            pending=torch.tensor(request.prompt_ids + request.committed_ids, device=model.device),
            canvas_index=len(request.committed_ids) // model.limits.canvas_length,
            output_count=len(request.committed_ids),
        )

    def _counter_noise(self, request: Submit, canvas_index: int) -> Noise:
        return CounterNoise(
            seed=request.sampling.seed,
            canvas_index=canvas_index,
            length=self.model.limits.canvas_length,
            vocabulary_size=self.model.network.config.vocabulary_size,
            steps=request.sampling.max_denoising_steps,
            device=self.model.device,
        )
