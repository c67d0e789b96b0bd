"""The engine: commands in, one frame of events per step out.

Owns the device; knows no processes and no text. `step` reads as the architecture: receive,
schedule, run, settle, reply.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

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

NO_ROOM_FOR_A_STEP = "out of memory: a step of the canvas does not fit on the device"


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
        refused = self._receive(commands)
        return (*refused, *self._run(self.scheduler.plan()))

    def _receive(self, commands: Iterable[Command]) -> list[Failed]:
        """Takes commands; those whose requests there was no memory to begin have failed."""
        refused: list[Failed] = []
        for command in commands:
            if isinstance(command, Submit):
                try:
                    self._begin(command)
                except torch.OutOfMemoryError as problem:
                    refused.append(self._fail(command.request_id, str(problem)))
            elif isinstance(command, Cancel):
                self._end(command.request_id)
        return refused

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

    def _fail(self, request_id: int, message: str) -> Failed:
        self._end(request_id)
        return Failed(request_id=request_id, message=message)

    def _run(self, turns: list[Turn]) -> list[Event]:
        """One pass. What does not fit into memory together may fit one by one; what does not fit
        alone has failed.
        """
        if not turns:
            return []
        start_ns = time.time_ns()
        stepping = [self.sequences[t.job.request_id] for t in turns if t.denoise]
        try:
            self._begin_canvases(stepping)
            figures = iter(self.runner.run(turns, self.sequences))
        except torch.OutOfMemoryError as problem:
            # what the pass held is free only after this
            message = str(problem)
        else:
            return self._settle_all(turns, figures, self._pass(start_ns, len(stepping)))
        if len(turns) == 1:
            return [self._fail(turns[0].job.request_id, message)]
        return [event for turn in turns for event in self._run([turn])]

    def _pass(self, start_ns: int, batch_size: int) -> Pass:
        """The one that just ran."""
        run = Pass(
            start_ns=start_ns,
            end_ns=time.time_ns(),
            batch_size=batch_size,
            device_ns=self.runner.device_ns,
        )
        self.tally.ran(run)
        return run

    def _settle_all(
        self, turns: list[Turn], figures: Iterator[StepFigures | None], run: Pass
    ) -> list[Event]:
        events: list[Event] = []
        for turn in turns:
            step = next(figures) if turn.denoise else None
            if turn.denoise and step is None:
                events.append(self._fail(turn.job.request_id, NO_ROOM_FOR_A_STEP))
            else:
                events += self._settle(turn, step, run)
        return events

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


def _runner(model: LoadedModel, noise: Noise, threads: Threads | None) -> Runner:
    if not model.fused:
        return PlainRunner(model, noise, threads)
    # here, as Triton is not where nothing is fused
    from palimpsest.engine.gpu.runner import FusedRunner
    from palimpsest.engine.gpu.weight_format import WeightFormat

    assert isinstance(noise, CounterNoise), "the kernels draw by themselves"
    return FusedRunner(model, noise, weight_format=WeightFormat.of(model.scales, model.low_bit))
