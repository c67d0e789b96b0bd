"""What an engine has done since it started, as numbers for those who watch it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from palimpsest.engine.events import Committed, Event, PageCounts, Report
from palimpsest.engine.scheduler import Scheduler
from palimpsest.engine.sequence import Pass


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counts up; `report` adds what the scheduler knows."""

    passes: int = 0
    last: Pass | None = None
    steps: int = 0
    output_tokens: int = 0
    canvas_tokens: int = 0

    def ran(self, run: Pass) -> None:
        """A pass is done."""
        self.passes, self.last = self.passes + 1, run
        self.steps += run.batch_size

    def settled(self, events: Iterable[Event], *, canvas_length: int) -> None:
        """What came of it for one request."""
        for event in events:
            if isinstance(event, Committed):
                self.output_tokens += len(event.token_ids)
                self.canvas_tokens += canvas_length

    def report(self, scheduler: Scheduler, device: torch.device) -> Report:
        """The engine now."""
        last = self.last
        return Report(
            time_ns=time.time_ns(),
            running=len(scheduler.running),
            waiting=len(scheduler.lines),
            passes=self.passes,
            last_pass_ns=0 if last is None else last.end_ns - last.start_ns,
            last_batch_size=0 if last is None else last.batch_size,
            steps=self.steps,
            output_tokens=self.output_tokens,
            canvas_tokens=self.canvas_tokens,
            preempted=scheduler.preempted,
            pages=tuple(
                PageCounts(
                    window=window,
                    held=pool.held,
                    kept=pool.kept,
                    total=pool.count,
                    evicted=pool.evicted,
                )
                for window, pool in scheduler.pages.pools.items()
            ),
            memory_bytes=_memory_bytes(device),
        )


def _memory_bytes(device: torch.device) -> int | None:
    """What torch has taken from the device; without asking the device."""
    return torch.cuda.memory_reserved(device) if device.type == "cuda" else None
