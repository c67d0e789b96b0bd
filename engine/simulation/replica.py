"""One engine in simulated time: the real scheduler, and what stands for the model around it.

Follows `Engine.step` and `Sequence`: commands are taken between passes, a canvas that is done is
appended and committed with the first step of the next one, the last is not committed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from palimpsest.engine.capacity import Capacity
from palimpsest.engine.lines import LineKey
from palimpsest.engine.pages import Pages
from palimpsest.engine.scheduler import Job, Scheduler, Turn
from palimpsest.engine.simulation.load import Request
from palimpsest.engine.simulation.machine import Machine
from palimpsest.engine.simulation.service import Service


@dataclass(slots=True, eq=False)
class Visit:
    """A request at an engine: where it is, and when it came there."""

    request: Request
    canvas: int = 0
    step: int = 0
    """Of its canvas, those done."""
    known: int = 0
    """Tokens that once had keys and values here."""
    cached: int = 0
    """Of the prompt, tokens found in the cache."""
    started_s: float | None = None
    """Start of its first pass."""
    draft_s: float | None = None
    """End of the pass with its first canvas step."""
    commit_s: float | None = None
    """End of its first canvas, which is then final."""
    end_s: float | None = None


@dataclass(slots=True)
class Work:
    """Sums over the passes of an engine."""

    passes: int = 0
    busy_s: float = 0.0
    canvas_steps: int = 0
    causal_rows: int = 0
    rows_again: int = 0
    """Causal rows of tokens that had keys and values here before, and lost them."""


class Replica:
    """An engine. `begin` and `end` of passes take turns."""

    def __init__(
        self, machine: Machine, capacity: Capacity, *, overhead_s: float, interval_s: float
    ) -> None:
        self.machine, self.overhead_s = machine, overhead_s
        self.scheduler = Scheduler(
            Pages(capacity.pages),
            max_running=capacity.max_num_seqs,
            prefill_tokens=capacity.prefill_tokens,
            canvas_tokens=machine.canvas_tokens,
        )
        self.work, self.service = Work(), Service(interval_s)
        self.began_s = 0.0
        self._arrived: list[tuple[Request, list[int]]] = []
        self._visits: dict[int, Visit] = {}
        self._turns: list[Turn] = []
        self._lines: Counter[LineKey] = Counter()
        self._backlogged: set[LineKey] = set()

    @property
    def busy(self) -> bool:
        """Whether there is anything to run."""
        return bool(self._arrived) or self.scheduler.busy

    def submit(self, request: Request, prompt: list[int]) -> None:
        """A request arrives, perhaps in the middle of a pass."""
        self._arrived.append((request, prompt))

    def begin(self, now: float) -> float:
        """Begins a pass; returns when it ends."""
        for request, prompt in self._arrived:
            job = self.scheduler.add(
                request.request_id, prompt, share=request.share, priority=request.priority
            )
            self._visits[request.request_id] = Visit(request)
            self._lines[job.line] += 1
        self._arrived.clear()
        self._turns = self.scheduler.plan()
        assert self._turns, "requests wait and none of them gets anything"
        self.began_s = now
        self._backlogged = self._waiting()
        return now + self._seconds()

    def end(self, now: float) -> list[Visit]:
        """Ends the pass under way, if one is; returns the visits that are over."""
        over = []
        work: Counter[LineKey] = Counter()
        for turn in self._turns:
            self.scheduler.settle(turn)
            canvas = self.machine.canvas_tokens if turn.denoise else 0
            work[turn.job.line] += turn.encode + canvas
            visit = self._visits[turn.job.request_id]
            self._settle(turn, visit, now)
            if visit.end_s is not None:
                over.append(visit)
        if self._turns:
            self.work.passes += 1
            self.work.busy_s += now - self.began_s
            self.service.count(now, work, self._backlogged)
        self._turns = []
        return over

    def _seconds(self) -> float:
        """Of the pass just planned."""
        canvases = causal_rows = 0
        seen = 0
        size = self.machine.canvas_tokens
        for turn in self._turns:
            causal_rows += turn.encode
            seen += turn.encode * turn.start
            if turn.denoise:
                canvases += 1
                seen += size * (turn.start + turn.encode)
        self.work.canvas_steps += canvases
        self.work.causal_rows += causal_rows
        context = seen / (canvases * size + causal_rows)
        return self.machine.times.seconds(canvases, causal_rows, context) + self.overhead_s

    def _waiting(self) -> set[LineKey]:
        """Lines of which somebody waits."""
        if not len(self.scheduler.lines):
            return set()
        running = Counter(job.line for job in self.scheduler.running)
        return {line for line, count in self._lines.items() if count > running[line]}

    def _settle(self, turn: Turn, visit: Visit, now: float) -> None:
        if visit.started_s is None:
            visit.started_s = self.began_s
            visit.cached = visit.known = turn.start
        if turn.encode:
            self.work.rows_again += max(0, min(visit.known, turn.start + turn.encode) - turn.start)
            visit.known = max(visit.known, turn.start + turn.encode)
        if turn.denoise:
            self._denoise(turn.job, visit, now)

    def _denoise(self, job: Job, visit: Visit, now: float) -> None:
        visit.step += 1
        if visit.draft_s is None:
            visit.draft_s = now
        if visit.step < visit.request.steps[visit.canvas]:
            return
        visit.canvas, visit.step = visit.canvas + 1, 0
        if visit.commit_s is None:
            visit.commit_s = now
        if visit.canvas < len(visit.request.steps):
            job.append([0] * self.machine.canvas_tokens)
            return
        visit.end_s = now
        del self._visits[job.request_id]
        self.scheduler.remove(job.request_id)
        self._lines[job.line] -= 1
        if not self._lines[job.line]:
            del self._lines[job.line]
