"""The engine: commands in, one frame of events per step out.

Owns the device; knows no processes and no text. `step` reads as the architecture: receive,
schedule, run, settle, reply.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import torch

from palimpsest.engine.admission import begin
from palimpsest.engine.commands import Cancel, Command, Submit
from palimpsest.engine.diffusion import StepFigures
from palimpsest.engine.events import Event, Failed, Frame, Report
from palimpsest.engine.loaded_model import LoadedModel
from palimpsest.engine.noise import CounterNoise, Noise
from palimpsest.engine.pages import Pages
from palimpsest.engine.runner import PlainRunner, Runner
from palimpsest.engine.scheduler import Scheduler, Turn
from palimpsest.engine.sequence import Pass, Sequence
from palimpsest.engine.tally import Tally
from palimpsest.engine.threads import Threads


class Engine:
    """Runs requests of one model. `noise` replaces the counter-based one, to replay draws; without
    `threads` a pass gets as many as torch has been told.
    """

    def __init__(
        self,
        model: LoadedModel,
        *,
        noise: Noise | None = None,
        threads: Threads | None = None,
    ) -> None:
        config, capacity, limits = model.network.config, model.capacity, model.limits
        self.model = model
        self.noise = noise or CounterNoise(
            length=limits.canvas_length,
            vocabulary_size=config.vocabulary_size,
            device=model.device,
        )
        self.runner = _runner(model, self.noise, threads)
        self.scheduler = Scheduler(
            Pages(capacity.pages),
            max_running=capacity.max_num_seqs,
            prefill_tokens=capacity.prefill_tokens,
            canvas_tokens=limits.canvas_length,
        )
        self.sequences: dict[int, Sequence] = {}
        self.tally = Tally()

    @property
    def busy(self) -> bool:
        """Whether `step` has anything to do."""
        return self.scheduler.busy

    @torch.inference_mode()
    def step(self, commands: Iterable[Command]) -> Frame:
        """Takes commands, runs one pass, and returns what happened."""
        self._receive(commands)
        turns = self.scheduler.plan()
        try:
            return tuple(self._run(turns))
        except torch.OutOfMemoryError:
            return tuple(event for turn in turns for event in self._run_alone(turn))

    def _receive(self, commands: Iterable[Command]) -> None:
        for command in commands:
            if isinstance(command, Submit):
                self._begin(command)
            elif isinstance(command, Cancel):
                self._end(command.request_id)

    def _begin(self, request: Submit) -> None:
        job = self.scheduler.add(
            request.request_id,
            request.prompt_ids + request.committed_ids,
            share=request.share,
            priority=request.priority,
            pictures=request.pictures,
        )
        self.sequences[request.request_id] = begin(request, job, self.model)

    def _end(self, request_id: int) -> None:
        self.scheduler.remove(request_id)
        self.sequences.pop(request_id, None)

    def _run(self, turns: list[Turn]) -> list[Event]:
        """One pass. Nothing is changed by one that runs out of memory."""
        if not turns:
            return []
        start_ns = time.time_ns()
        stepping = [self.sequences[t.job.request_id] for t in turns if t.denoise]
        self._begin_canvases(stepping)
        figures = iter(self.runner.run(turns, self.sequences))
        run = Pass(
            start_ns=start_ns,
            end_ns=time.time_ns(),
            batch_size=len(stepping),
            device_ns=self.runner.device_ns,
        )
        settled = [self._settle(t, next(figures) if t.denoise else None, run) for t in turns]
        self.tally.ran(run)
        return [event for events in settled for event in events]

    def report(self) -> Report:
        """How it is doing, for those who watch it."""
        return self.tally.report(self.scheduler, self.model.device)

    def _begin_canvases(self, stepping: list[Sequence]) -> None:
        fresh = [sequence for sequence in stepping if sequence.canvas is None]
        if fresh:
            keys, longest = [s.noise_key() for s in fresh], self.model.limits.canvas_length
            canvases = self.noise.step(keys, length=longest).renoise()
            for sequence, random in zip(fresh, canvases, strict=True):
                sequence.begin(random)

    def _settle(self, turn: Turn, figures: StepFigures | None, run: Pass) -> list[Event]:
        sequence = self.sequences[turn.job.request_id]
        self.scheduler.settle(turn)
        events = sequence.settle(turn, figures, run)
        self.tally.settled(events, canvas_length=sequence.limits.canvas_length)
        if sequence.done:
            self._end(turn.job.request_id)
        return events

    def _run_alone(self, turn: Turn) -> list[Event]:
        """What did not fit together may fit one by one; what does not fit alone has failed."""
        try:
            return self._run([turn])
        except torch.OutOfMemoryError as problem:
            self._end(turn.job.request_id)
            return [Failed(request_id=turn.job.request_id, message=str(problem))]


def _runner(model: LoadedModel, noise: Noise, threads: Threads | None) -> Runner:
    if not model.fused:
        return PlainRunner(model, noise, threads)
    # here, as Triton is not where nothing is fused
    from palimpsest.engine.gpu.runner import FusedRunner
    from palimpsest.engine.gpu.weight_format import WeightFormat

    assert isinstance(noise, CounterNoise), "the kernels draw by themselves"
    return FusedRunner(model, noise, weight_format=WeightFormat.of(model.scales, model.low_bit))
