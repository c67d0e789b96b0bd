"""A scheduler with small pools, and its passes in short."""

from __future__ import annotations

from palimpsest.engine.commands import Picture
from palimpsest.engine.pages import Pages
from palimpsest.engine.scheduler import Job, Scheduler, Turn

C = 64
"""Tokens of a canvas."""


def scheduler(
    *, pages: int = 64, max_running: int = 4, prefill_tokens: int = 100, window: int = 100
) -> Scheduler:
    """Of two groups of pages, for layers that see all and for those that see a window."""
    return Scheduler(
        Pages({None: pages, window: pages}),
        max_running=max_running,
        prefill_tokens=prefill_tokens,
        canvas_tokens=C,
    )


def add(line: Scheduler, request_id: int, tokens: int) -> Job:
    """A request whose prompt is like no other."""
    prompt = [request_id * 1000 + i for i in range(tokens)]
    return line.add(request_id, prompt, share="", priority=0)


def picture(start: int, end: int, key: bytes = b"") -> Picture:
    """That takes the places from `start` to before `end`."""
    return Picture(start=start, rows=1, columns=end - start, patches=b"", key=key)


def run(line: Scheduler) -> list[Turn]:
    """A pass: plans it and has it done."""
    turns = line.plan()
    for turn in turns:
        line.settle(turn)
    return turns


def told(turns: list[Turn]) -> list[tuple[int, int, int, bool]]:
    """Request, start, tokens to read, whether its canvas takes a step."""
    return [(t.job.request_id, t.start, t.encode, t.denoise) for t in turns]
