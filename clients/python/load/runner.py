"""Keeps so many streams open at once, and takes the times of each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from palimpsest.aio import AsyncClient
from palimpsest.errors import PalimpsestError
from palimpsest.events import Commit, Completed, Snapshot, Started, Usage
from palimpsest.load.questions import Question
from palimpsest.requests import ALL_DRAFTS, Sampling


@dataclass(slots=True, kw_only=True)
class Timing:
    """One stream, on the caller's clock; seconds."""

    is_long: bool
    started_s: float
    canvas_length: int = 0
    first_draft_s: float | None = None
    first_commit_s: float | None = None
    ended_s: float = 0.0
    snapshots: int = 0
    usage: Usage | None = None
    error: str | None = None

    @property
    def effective_tokens(self) -> int:
        """Tokens of the canvases, padding included."""
        return 0 if self.usage is None else self.usage.canvases * self.canvas_length


async def run(
    client: AsyncClient,
    questions: Iterator[Question],
    sampling: Sampling,
    *,
    concurrency: int,
    requests: int,
    report: Callable[[Timing], None],
) -> None:
    """Asks `requests` questions, `concurrency` at any time until the last ones run out."""
    left = iter(range(requests))

    async def work() -> None:
        for _ in left:
            report(await _ask(client, next(questions), sampling))

    async with asyncio.TaskGroup() as group:
        for _ in range(min(concurrency, requests)):
            group.create_task(work())


async def _ask(client: AsyncClient, question: Question, sampling: Sampling) -> Timing:
    timing = Timing(is_long=question.is_long, started_s=time.perf_counter())
    try:
        async with client.stream(
            messages=question.messages,
            preview=ALL_DRAFTS,
            **(Sampling(seed=question.seed) | sampling),
        ) as stream:
            async for event in stream:
                _note(timing, event)
    except PalimpsestError as failure:
        timing.error = str(failure)
    timing.ended_s = time.perf_counter()
    return timing


def _note(timing: Timing, event: object) -> None:
    now_s = time.perf_counter()
    match event:
        case Started():
            timing.canvas_length = event.canvas_length
        case Snapshot():
            timing.snapshots += 1
            timing.first_draft_s = timing.first_draft_s or now_s
        case Commit():
            # a canvas may be final before its first draft was due
            timing.first_draft_s = timing.first_draft_s or now_s
            timing.first_commit_s = timing.first_commit_s or now_s
        case Completed():
            timing.usage = event.usage
