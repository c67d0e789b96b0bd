"""Thousands of requests, many of them cancelled, leave nothing behind."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

from pairs import Pair
from replay import random_prompt, submit

from palimpsest.engine.commands import Cancel, Command
from palimpsest.engine.engine import Engine
from palimpsest.engine.events import Finished
from palimpsest.engine.sampling import Sampling

REQUESTS = int(os.environ.get("PALIMPSEST_REQUESTS", "400"))
"""A release is tested with 2,000."""
CANCELLED_SHARE = 0.3
AT_ONCE = 24
PAGES = 200
MB = 2**20


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def commands(random: Random, first: int, count: int) -> Iterator[list[Command]]:
    """One request a step, and sometimes an end to one that waits or runs."""
    for number in range(first, first + count):
        sampling = Sampling(
            max_output_tokens=random.randint(1, 80), seed=number, max_denoising_steps=2
        )
        prompt = random_prompt(random.randint(5, 150), seed=number % 20)
        step: list[Command] = [submit(prompt, sampling, request_id=number)]
        if random.random() < CANCELLED_SHARE:
            step.append(Cancel(request_id=number - random.randint(0, 5)))
        yield step


def serve(engine: Engine, steps: Iterator[list[Command]]) -> int:
    """Requests that ended by themselves."""
    finished, open_ = 0, True
    while open_ or engine.busy:
        batch = next(steps, None) if len(engine.sequences) < AT_ONCE else []
        open_ = batch is not None
        finished += sum(isinstance(event, Finished) for event in engine.step(batch or []))
    return finished


def test_thousands_of_requests_with_cancellations_leave_pages_and_memory_as_they_were(
    calm: Pair,
) -> None:
    model, random = calm.ending_at(), Random(0)
    pages = dict.fromkeys(model.capacity.pages, PAGES)
    engine = Engine(replace(model, capacity=replace(model.capacity, pages=pages)))
    # the first ones fill caches: of the allocator, of noise, and the pages that are kept
    warm = REQUESTS // 2
    assert 0 < serve(engine, commands(random, 0, warm)) < warm
    before = resident_bytes()
    serve(engine, commands(random, warm, REQUESTS))
    assert not engine.sequences
    assert not engine.busy
    assert all(pool.held == 0 for pool in engine.scheduler.pages.pools.values())
    assert not engine.scheduler.lines._lines
    assert resident_bytes() - before < 20 * MB
