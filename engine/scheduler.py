"""Which tokens run in the next pass. Bookkeeping over counts and pages, no tensors.

A pass holds, for every admitted request, what it needs next: a chunk of the tokens that have no
keys and values yet, a step of its canvas if no more than that chunk is missing, or both. So a
commit and the first step of the next canvas share a pass. What a pass may hold is bounded: one
canvas and one commit of each of `max_running` requests, and `prefill_tokens` tokens of prompts, so
that no prompt slows the canvases down by more. Half of those go to the shortest prompts, which so
are not held back by long ones, and the rest to the oldest. A picture is read in one pass: one that
is too long for what is left waits, until its request is the oldest and exceeds the bound by it.
Nobody keeps a place while others wait for longer than a turn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from palimpsest.engine.commands import Picture
from palimpsest.engine.lines import FairLines, LineKey
from palimpsest.engine.page_table import PageTable
from palimpsest.engine.pages import PAGE_TOKENS, OutOfPages, Pages, Window, chain_keys
from palimpsest.engine.vision.blocks import end_of_next, longest, page_extras, uncut

CANVASES_OF_A_TURN = 8
"""After so many canvases, and as many tokens as it had before them, a request makes room for one
that waits. Its pages stay in the cache; if they do not, reading it again at most doubles its work.
"""


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """One request as the scheduler sees it."""

    request_id: int
    line: LineKey
    tokens: list[int]
    """The prompt and the canvases since: all that has or needs keys and values."""
    table: PageTable
    keys: list[bytes]
    """Of the complete pages of `tokens`."""
    pictures: Sequence[Picture] = ()
    """Ranges of `tokens` that are encoded in one pass."""
    committing: bool = False
    """Whether the tokens without keys and values are a canvas just denoised."""
    canvases: int = 0
    """Denoised since it was admitted."""
    admitted_tokens: int = 0
    """Tokens it had then."""

    @property
    def pending(self) -> int:
        """Tokens without keys and values."""
        return len(self.tokens) - self.table.stored

    @property
    def turn_is_over(self) -> bool:
        """Whether it is at the end of a canvas and has had as many as a turn has."""
        written = len(self.tokens) - self.admitted_tokens
        enough = self.canvases >= CANVASES_OF_A_TURN and written >= self.admitted_tokens
        return self.committing and enough

    def chunk(self, tokens: int) -> int:
        """The most of its next `tokens` that cut no picture."""
        stored = self.table.stored
        return uncut(self.pictures, stored + tokens) - stored

    def append(self, canvas: Sequence[int]) -> None:
        """A canvas is final and another one follows: it has to be committed."""
        self.tokens += canvas
        self.keys = chain_keys(self.tokens, self.keys, page_extras(self.pictures))
        self.committing = True
        self.canvases += 1


@dataclass(frozen=True, slots=True)
class Turn:
    """What one request runs in a pass."""

    job: Job
    start: int
    """Position of the first of its tokens."""
    encode: int
    """Tokens to write keys and values of, from `start` on; 0 if none."""
    denoise: bool
    """Whether its canvas takes a step, behind those tokens."""


class Scheduler:
    """All requests: those that wait, in fair lines, and those that run, the oldest first."""

    def __init__(
        self, pages: Pages, *, max_running: int, prefill_tokens: int, canvas_tokens: int
    ) -> None:
        self.pages = pages
        self.lines: FairLines[Job] = FairLines()
        self.running: list[Job] = []
        self.preempted = 0
        """Requests that had to give their pages back since the start."""
        self._max_running = max_running
        self._prefill_tokens = prefill_tokens
        self._canvas_tokens = canvas_tokens
        self._jobs: dict[int, Job] = {}

    @property
    def busy(self) -> bool:
        """Whether there is anything to run."""
        return bool(self._jobs)

    def add(
        self,
        request_id: int,
        tokens: Sequence[int],
        *,
        share: str,
        priority: int,
        pictures: Sequence[Picture] = (),
    ) -> Job:
        """A new request waits for its turn."""
        job = Job(
            request_id=request_id,
            line=(share, priority),
            tokens=list(tokens),
            keys=chain_keys(tokens, extra=page_extras(pictures)),
            pictures=pictures,
            table=PageTable(self.pages),
        )
        self._jobs[request_id] = job
        self.lines.add(job.line, job)
        return job

    def remove(self, request_id: int) -> None:
        """Forgets a request that ran or waited; an unknown id may just have ended: no error."""
        job = self._jobs.pop(request_id, None)
        if job is None:
            return
        job.table.release()
        if job in self.running:
            self.running.remove(job)
            self.lines.end(job.line)
        else:
            self.lines.drop(job.line, job)

    def plan(self) -> list[Turn]:
        """The next pass. Pages for it are taken; `settle` each turn once it ran."""
        self._rotate()
        self._admit()
        chunks = self._chunks()
        turns = []
        for job in list(self.running):
            encode = chunks[job.request_id]
            if job in self.running and self._make_room(job, encode):
                turns.append(Turn(job, job.table.stored, encode, job.pending == encode))
        return [turn for turn in turns if turn.encode or turn.denoise]

    def settle(self, turn: Turn) -> None:
        """A turn has run: what it encoded is written, and its line is charged."""
        job = turn.job
        if turn.encode:
            job.table.advance(turn.encode, job.keys)
            job.committing = False
        self.lines.charge(job.line, turn.encode + self._canvas_tokens * turn.denoise)

    def _rotate(self) -> None:
        """Those whose turn is over make room, at the end of a canvas: for as many as wait for a
        place, one after another for one that waits for pages.
        """
        over = [job for job in self.running if job.turn_is_over]
        wanted = len(self.lines) - (self._max_running - len(self.running))
        if over and wanted <= 0:
            wanted = self._lacks_pages()
        for job in over[: max(0, wanted)]:
            self._stop(job)
            self.lines.requeue(job.line, job)

    def _lacks_pages(self) -> bool:
        """Whether there are no pages for whoever comes next."""
        if (entry := self.lines.next()) is None:
            return False
        _, job = entry
        job.table.adopt(job.keys, job.pictures)
        fits = self._fits(job)
        job.table.release()
        return not fits

    def _admit(self) -> None:
        while len(self.running) < self._max_running and (entry := self.lines.next()):
            line, job = entry
            job.table.adopt(job.keys, job.pictures)
            if self.running and not self._fits(job):
                # whoever comes next has to wait: smaller ones must not starve it
                job.table.release()
                return
            job.canvases, job.admitted_tokens = 0, len(job.tokens)
            self.running.append(self.lines.take(line))

    def _fits(self, job: Job) -> bool:
        """Whether its prompt finds pages beside what those that run have yet to take."""
        needed = Counter(self._to_take(job))
        for other in self.running:
            needed.update(self._to_take(other))
        return self.pages.fits(needed)

    def _to_take(self, job: Job) -> dict[Window, int]:
        """Pages for its tokens without keys; of a group with a window it never holds all."""
        needed = job.table.needed(job.pending)
        for window in needed:
            if window is not None:
                chunk = max(self._prefill_tokens, self._canvas_tokens, longest(job.pictures))
                at_once = window - 1 + chunk
                needed[window] = min(needed[window], -(-at_once // PAGE_TOKENS) + 1)
        return needed

    def _chunks(self) -> dict[int, int]:
        """Tokens that each running job encodes: commits whole, prompts within the budget."""
        chunks = {job.request_id: job.pending * job.committing for job in self.running}
        reading = [job for job in self.running if job.pending and not job.committing]
        left = self._prefill_tokens
        shortest = sorted(reading, key=lambda job: job.pending)
        for order, kept_back in ((shortest, left - left // 2), (reading, 0)):
            for job in order:
                has = chunks[job.request_id]
                share = max(0, min(job.pending - has, left - kept_back))
                chunks[job.request_id] = job.chunk(has + share)
                left -= chunks[job.request_id] - has
        if reading and not chunks[(oldest := reading[0]).request_id]:
            start = oldest.table.stored
            chunks[oldest.request_id] = end_of_next(oldest.pictures, start) - start
        return chunks

    def _make_room(self, job: Job, tokens: int) -> bool:
        """Takes pages, if need be from the youngest; False if `job` itself had to give way."""
        while True:
            try:
                job.table.extend(tokens)
            except OutOfPages:
                if (youngest := self.running[-1]) is job and len(self.running) == 1:
                    raise
                self._preempt(youngest)
                if youngest is job:
                    return False
            else:
                return True

    def _preempt(self, job: Job) -> None:
        """Its pages go, its canvas stays: it encodes all its tokens again when it is back."""
        self._stop(job)
        self.lines.put_back(job.line, job)
        self.preempted += 1

    def _stop(self, job: Job) -> None:
        self.running.remove(job)
        job.table.release()
        job.committing = False
