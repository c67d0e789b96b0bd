"""No trace of random requests breaks what the scheduler promises."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scheduling import C, picture, scheduler

from palimpsest.engine.commands import Picture
from palimpsest.engine.pages import PAGE_TOKENS
from palimpsest.engine.scheduler import Job, Turn
from palimpsest.engine.vision.blocks import longest, uncut

TRACES = int(os.environ.get("PALIMPSEST_TRACES", "200"))
"""Random traces; the number that a release is tested with is 10,000."""


@dataclass
class Client:
    """A request of a trace: its prompt, its canvases, and the steps that the next one takes."""

    job: Job
    canvases: int
    steps_left: int
    prompt: list[int]
    done: int = 0


class Trace:
    """Random requests against a scheduler, with everything checked after every pass."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.pages = random.randint(18, 40)
        self.max_running = random.randint(1, 6)
        self.budget = random.choice((1, 16, 64, 200))
        self.line = scheduler(
            pages=self.pages,
            max_running=self.max_running,
            prefill_tokens=self.budget,
            window=random.choice((65, 100, 200)),
        )
        self.clients: dict[int, Client] = {}
        self.finished = self.gone = 0

    def arrive(self, request_id: int) -> None:
        # few different beginnings, so that pages are shared
        prompt = [self.random.randint(0, 1)] * self.random.randint(1, 5 * PAGE_TOKENS)
        share, priority = self.random.choice("ab"), self.random.randint(-1, 1)
        shown = self._pictures(len(prompt)) if self.random.random() < 0.5 else []
        job = self.line.add(request_id, prompt, share=share, priority=priority, pictures=shown)
        canvases, steps = self.random.choice((1, 2, 3, 12)), self.random.randint(1, 4)
        self.clients[request_id] = Client(job, canvases, steps, prompt)

    def _pictures(self, tokens: int) -> list[Picture]:
        """Some that do not overlap; of few kinds, so that prefixes with pictures are shared too."""
        shown, start = [], self.random.randint(0, 80)
        while (end := start + self.random.choice((1, 30, 100))) <= tokens:
            shown.append(picture(start, end, self.random.choice((b"a", b"b"))))
            start = end + self.random.randint(1, 80)
        return shown

    def leave(self, request_id: int) -> None:
        self.line.remove(request_id)
        if self.clients.pop(request_id, None) is not None:
            self.gone += 1

    def step(self) -> None:
        turns = self.line.plan()
        self._check(turns)
        for turn in turns:
            self.line.settle(turn)
            if turn.denoise:
                self._denoise(self.clients[turn.job.request_id])

    def _denoise(self, client: Client) -> None:
        # a canvas looks at the prompt and the canvases before it, in order, and nothing is missing
        assert client.job.pending == 0
        canvases = [token for done in range(client.done) for token in [101 + done] * C]
        assert client.job.tokens == client.prompt + canvases
        client.steps_left -= 1
        if client.steps_left:
            return
        client.done += 1
        if client.done == client.canvases:
            self.finished += 1
            del self.clients[client.job.request_id]
            self.line.remove(client.job.request_id)
        else:
            client.job.append([100 + client.done] * C)
            client.steps_left = self.random.randint(1, 4)

    def _check(self, turns: list[Turn]) -> None:
        assert len(turns) <= self.max_running
        assert all(turn.start == turn.job.table.stored for turn in turns)
        prompts = [turn.encode for turn in turns if not turn.job.committing]
        shown = [turn.job.pictures for turn in turns]
        # one picture that is too long for the rest of the budget
        assert sum(prompts) <= self.budget + max(map(longest, shown), default=0)
        for turn, pictures in zip(turns, shown, strict=True):
            assert uncut(pictures, turn.start) == turn.start
            assert uncut(pictures, turn.start + turn.encode) == turn.start + turn.encode
        assert len({turn.job.request_id for turn in turns}) == len(turns)
        held: dict[int | None, set[int]] = defaultdict(set)
        for job in self.line._jobs.values():
            for window, ids in job.table._ids.items():
                held[window] |= set(ids)
        for window, pool in self.line.pages.pools.items():
            assert pool.held == len(held[window])


@settings(
    max_examples=TRACES, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)
@given(st.integers(0, 2**32))
def test_no_trace_leaks_a_page_loses_a_commit_or_starves_a_request(seed: int) -> None:
    random = Random(seed)
    trace = Trace(random)
    arrivals = random.randint(1, 12)
    for now in range(arrivals):
        trace.arrive(now)
        if random.random() < 0.3:
            trace.leave(random.randint(0, now))
        for _ in range(random.randint(0, 5)):
            trace.step()
    # all prompts and commits through the smallest budget, with every request preempted in turn
    for _ in range(20_000):
        if not trace.clients:
            break
        trace.step()
    assert not trace.clients, "a request never ended"
    assert trace.finished + trace.gone == arrivals
    assert all(pool.held == 0 for pool in trace.line.pages.pools.values())
    assert not trace.line.busy
