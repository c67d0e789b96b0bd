"""The event loop: arrivals and ends of passes, in order of their time."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass

from palimpsest.engine.capacity import DEFAULT_MAX_NUM_SEQS, DEFAULT_PREFILL_TOKENS
from palimpsest.engine.simulation.load import Load, Request
from palimpsest.engine.simulation.machine import Machine
from palimpsest.engine.simulation.replica import Replica, Visit
from palimpsest.engine.simulation.routing import POLICIES, Unfinished
from palimpsest.engine.simulation.service import Service, total

INTERVALS = 20
"""Of the time in which requests arrive, to count service in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is simulated."""

    load: Load
    machine: Machine
    rate: float
    """Requests a second, over all engines."""
    requests: int
    seed: int = 0
    replicas: int = 1
    routing: str = "least-loaded"
    max_num_seqs: int = DEFAULT_MAX_NUM_SEQS
    prefill_tokens: int = DEFAULT_PREFILL_TOKENS
    cache_gib: float | None = None
    """Of each engine; unset, the machine's."""
    overhead_s: float = 0.0
    """Added to each pass, for whatever is not in the machine's times."""


@dataclass(frozen=True, slots=True)
class Run:
    """What happened."""

    plan: Plan
    visits: list[Visit]
    """In the order in which they ended."""
    replicas: list[Replica]
    service: Service
    seconds: float
    """From the first arrival to the end of the last pass."""


def simulate(plan: Plan, report: Callable[[int], None] = lambda ended: None) -> Run:
    """Runs until each request that arrives has ended; reports how many have, time and again.

    Raises BadInput if a request could never fit.
    """
    simulation = _Simulation(plan)
    first_s = simulation.run(report)
    return Run(
        plan=plan,
        visits=simulation.visits,
        replicas=simulation.replicas,
        service=total(replica.service for replica in simulation.replicas),
        seconds=simulation.now - first_s,
    )


class _Simulation:
    def __init__(self, plan: Plan) -> None:
        load, machine = plan.load, plan.machine
        load.check(machine)
        capacity = machine.capacity(
            max_num_seqs=plan.max_num_seqs,
            prefill_tokens=plan.prefill_tokens,
            cache_gib=plan.cache_gib,
        )
        interval_s = plan.requests / plan.rate / INTERVALS
        self.replicas = [
            Replica(machine, capacity, overhead_s=plan.overhead_s, interval_s=interval_s)
            for _ in range(plan.replicas)
        ]
        self.visits: list[Visit] = []
        self.now = 0.0
        self._requests = load.requests(
            rate=plan.rate,
            count=plan.requests,
            canvas_tokens=machine.canvas_tokens,
            seed=plan.seed,
        )
        self._policy = POLICIES[plan.routing]
        self._unfinished = Unfinished(plan.replicas)
        # when each engine that has something to do looks for what arrived; equal times in order
        self._wakes: list[tuple[float, int]] = []
        self._asleep = set(range(plan.replicas))

    def run(self, report: Callable[[int], None]) -> float:
        """Everything; returns when the first request arrived."""
        request = next(self._requests, None)
        first_s = 0.0 if request is None else request.arrival_s
        while request is not None or self._wakes:
            next_wake = self._wakes[0][0] if self._wakes else math.inf
            if request is not None and request.arrival_s <= next_wake:
                self._arrive(request)
                request = next(self._requests, None)
            else:
                self._wake(*heapq.heappop(self._wakes))
                report(len(self.visits))
        for replica in self.replicas:
            replica.service.close()
        return first_s

    def _arrive(self, request: Request) -> None:
        prompt = request.prompt()
        engine = self._policy(prompt, self._unfinished)
        self._unfinished.send(engine)
        self.replicas[engine].submit(request, prompt)
        if engine in self._asleep:
            self._asleep.remove(engine)
            heapq.heappush(self._wakes, (request.arrival_s, engine))

    def _wake(self, now: float, engine: int) -> None:
        self.now = now
        replica = self.replicas[engine]
        over = replica.end(now)
        self.visits += over
        for _ in over:
            self._unfinished.end(engine)
        if replica.busy:
            heapq.heappush(self._wakes, (replica.begin(now), engine))
        else:
            self._asleep.add(engine)
