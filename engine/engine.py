"""The engine: commands in, one frame of events per step out.

Owns the device; knows no processes and no text. `step` reads as the architecture: receive,
schedule, run, settle, reply.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor

from palimpsest.engine.admission import begin
from palimpsest.engine.cache import PagedCache
from palimpsest.engine.diffusion import StepFigures, denoise
from palimpsest.engine.loaded_model import LoadedModel
from palimpsest.engine.logit_controls import controlled
from palimpsest.engine.messages import Cancel, Command, Event, Failed, Frame, Submit
from palimpsest.engine.noise import CounterNoise, Noise
from palimpsest.engine.pages import Pages
from palimpsest.engine.scheduler import Scheduler, Turn
from palimpsest.engine.scoring import label_scores
from palimpsest.engine.segments import run_segments
from palimpsest.engine.sequence import Pass, Sequence
from palimpsest.engine.shapes import Hidden
from palimpsest.engine.threads import Threads

EXPERT_ROW_MULTIPLE = 4
"""So that a request's bits do not depend on how many rows of others go to its experts."""


class Engine:
    """Runs requests of one model. `noise` replaces the counter-based one, to replay draws; without
    `threads` a pass gets as many as torch has been told.
    """

    def __init__(
        self, model: LoadedModel, *, noise: Noise | None = None, threads: Threads | None = None
    ) -> None:
        config, capacity, limits = model.network.config, model.capacity, model.limits
        self.model, self.threads = model, threads
        self.noise = noise or CounterNoise(
            length=limits.canvas_length,
            vocabulary_size=config.vocabulary_size,
            device=model.device,
        )
        self.cache = PagedCache(config, capacity.pages, dtype=model.dtype, device=model.device)
        self.scheduler = Scheduler(
            Pages(capacity.pages),
            max_running=capacity.max_num_seqs,
            prefill_tokens=capacity.prefill_tokens,
            canvas_tokens=limits.canvas_length,
        )
        self.sequences: dict[int, Sequence] = {}

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
        figures = iter(self._denoise(stepping, self._hidden(turns)))
        run = Pass(start_ns=start_ns, end_ns=time.time_ns(), batch_size=len(stepping))
        settled = [self._settle(t, next(figures) if t.denoise else None, run) for t in turns]
        return [event for events in settled for event in events]

    def _begin_canvases(self, stepping: list[Sequence]) -> None:
        fresh = [sequence for sequence in stepping if sequence.canvas is None]
        if fresh:
            keys, longest = [s.noise_key() for s in fresh], self.model.limits.canvas_length
            canvases = self.noise.step(keys, length=longest).renoise()
            for sequence, random in zip(fresh, canvases, strict=True):
                sequence.begin(random)

    def _hidden(self, turns: list[Turn]) -> list[Tensor]:
        """Final hidden states [C, H] of each canvas; C differs."""
        segments = []
        for turn in turns:
            sequence, cache = self.sequences[turn.job.request_id], self.cache.of(turn.job.table)
            segments += sequence.segments(turn, cache, self.model.device)
        if self.threads is not None:
            rows = sum(len(segment.token_ids) for segment in segments)
            torch.set_num_threads(self.threads.of(rows))
        hidden = run_segments(self.model.network, segments, expert_row_multiple=EXPERT_ROW_MULTIPLE)
        return [h for h, segment in zip(hidden, segments, strict=True) if not segment.causal]

    def _denoise(self, stepping: list[Sequence], hidden: list[Tensor]) -> list[StepFigures]:
        """A step of each canvas, those of one length together."""
        figures: dict[int, StepFigures] = {}
        lengths = [sequence.limits.canvas_length for sequence in stepping]
        for length in dict.fromkeys(lengths):
            members = [i for i, other in enumerate(lengths) if other == length]
            of_length = [stepping[i] for i in members]
            rows = torch.cat([hidden[i] for i in members])
            figures |= zip(members, self._denoise_equal(of_length, rows, length), strict=True)
        return [figures[i] for i in range(len(stepping))]

    def _denoise_equal(
        self, stepping: list[Sequence], hidden: Hidden, length: int
    ) -> list[StepFigures]:
        network = self.model.network

        figures = denoise(
            [sequence.canvas for sequence in stepping if sequence.canvas is not None],
            controlled(
                lambda rows: network.logits(hidden[rows]),
                [sequence.controls for sequence in stepping],
                length=length,
            ),
            samplings=[sequence.request.sampling for sequence in stepping],
            noise=self.noise.step([s.noise_key() for s in stepping], length=length),
            model=network,
        )
        return self._score(stepping, figures, hidden, length)

    def _score(
        self, stepping: list[Sequence], figures: list[StepFigures], hidden: Hidden, length: int
    ) -> list[StepFigures]:
        """The figures, with scores where a canvas with labels is done."""
        done = [i for i, s in enumerate(stepping) if s.request.labels and figures[i].done]
        if not done:
            return figures
        network = self.model.network
        scores = label_scores(
            lambda rows: network.logits(hidden[rows]),
            [(i * length, stepping[i].request.labels) for i in done],
            end_token_ids=self.model.limits.end_token_ids,
            vocabulary_size=network.config.vocabulary_size,
        )
        told = dict(zip(done, scores, strict=True))
        return [replace(f, scores=told.get(i, ())) for i, f in enumerate(figures)]

    def _settle(self, turn: Turn, figures: StepFigures | None, run: Pass) -> list[Event]:
        sequence = self.sequences[turn.job.request_id]
        self.scheduler.settle(turn)
        events = sequence.settle(turn, figures, run)
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
