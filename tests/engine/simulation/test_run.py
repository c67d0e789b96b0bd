"""The event loop around the real scheduler: counted by hand, and held against queueing theory."""

from __future__ import annotations

from itertools import pairwise
from statistics import fmean, stdev

import pytest
from simulated import CANVAS, PASS_S, kind, machine, plan

from palimpsest.engine.simulation.figures import figures
from palimpsest.engine.simulation.load import Kind
from palimpsest.engine.simulation.machine import PassTimes
from palimpsest.engine.simulation.replica import Visit
from palimpsest.engine.simulation.run import Run, simulate
from palimpsest.engine.simulation.sizes import Fixed, Lognormal, Uniform

AT_ONCE = 1e9
"""A rate at which all requests arrive before anything else happens."""


def by_arrival(run: Run) -> list[Visit]:
    return sorted(run.visits, key=lambda visit: visit.request.request_id)


def since_arrival(run: Run, field: str) -> list[float]:
    return [getattr(visit, field) - visit.request.arrival_s for visit in by_arrival(run)]


def test_one_request_takes_as_many_passes_as_it_has_chunks_and_steps() -> None:
    # prompt in 10 + 10 + 10 tokens, the last with the first of three steps; two canvases
    one = kind(prompt=Fixed(30), steps=Fixed(3), output=Fixed(CANVAS + 1))
    run = simulate(plan(one, rate=1.0, requests=1, prefill_tokens=10))
    (visit,) = run.visits
    arrival = visit.request.arrival_s
    assert (visit.started_s, visit.draft_s) == (arrival, arrival + 3)
    assert (visit.commit_s, visit.end_s) == (arrival + 5, arrival + 8)
    told = figures(run)
    assert (told.passes, told.utilisation, told.canvases_per_pass) == (8, 1.0, 6 / 8)
    assert told.output_tokens_per_second == pytest.approx((CANVAS + 1) / 8)
    assert told.effective_tokens_per_second == pytest.approx(2 * CANVAS / 8)


def test_overhead_comes_on_top_of_each_pass() -> None:
    run = simulate(plan(kind(steps=Fixed(4)), rate=1.0, requests=1, overhead_s=0.25))
    assert run.seconds == pytest.approx(4 * (PASS_S + 0.25))


def test_every_request_ends_and_every_token_is_run_once_where_pages_are_plenty() -> None:
    kinds = (
        kind(
            "short", traffic=4, prompt=Uniform(1, 200), output=Uniform(1, 300), steps=Uniform(1, 5)
        ),
        kind("long", prompt=Uniform(900, 3_000), output=Fixed(40), prefix_tokens=100),
    )
    run = simulate(plan(*kinds, rate=0.5, requests=80, max_num_seqs=5, prefill_tokens=128))
    requests = [visit.request for visit in by_arrival(run)]
    assert [request.request_id for request in requests] == list(range(80))
    work = run.replicas[0].work
    steps = sum(sum(request.steps) for request in requests)
    commits = sum(CANVAS * (len(request.steps) - 1) for request in requests)
    prompts = sum(visit.request.prompt_tokens - visit.cached for visit in run.visits)
    assert (work.canvas_steps, work.causal_rows, work.rows_again) == (steps, prompts + commits, 0)
    assert sum(visit.cached for visit in run.visits) > 0
    charged = sum(course.total() for course in run.service.course.values())
    assert charged == CANVAS * steps + work.causal_rows
    pools = run.replicas[0].scheduler.pages.pools.values()
    assert not run.replicas[0].busy
    assert all(pool.held == 0 for pool in pools)


def test_where_pages_are_few_every_request_ends_and_what_is_read_again_is_counted() -> None:
    few = machine(context_tokens=1_024, cache_bytes=1_024)
    one = kind(prompt=Uniform(100, 500), output=Uniform(100, 500), steps=Uniform(1, 4))
    run = simulate(plan(one, rate=1.0, requests=60, machine=few, max_num_seqs=8))
    told = figures(run)
    assert told.requests == 60
    assert told.preemptions > 0
    commits = sum(CANVAS * (len(visit.request.steps) - 1) for visit in run.visits)
    prompts = sum(visit.request.prompt_tokens - visit.cached for visit in run.visits)
    assert told.rows_again == run.replicas[0].work.causal_rows - prompts - commits > 0


def test_waiting_is_that_of_a_single_server_queue_with_constant_service() -> None:
    # One place, one pass a request: M/D/1. Lindley's recursion tells each request's wait, and
    # Pollaczek and Khinchine the mean.
    utilisation = 0.6
    run = simulate(plan(rate=utilisation, requests=2_000, max_num_seqs=1))
    waits = since_arrival(run, "started_s")
    arrivals = [visit.request.arrival_s for visit in by_arrival(run)]
    expected = [0.0]
    for before, after in pairwise(arrivals):
        expected.append(max(0.0, expected[-1] + PASS_S - (after - before)))
    assert waits == pytest.approx(expected, abs=1e-6)
    means = [fmean(waits[start : start + 100]) for start in range(0, 2_000, 100)]
    theory = PASS_S * utilisation / (2 * (1 - utilisation))
    assert abs(fmean(means) - theory) < 4 * stdev(means) / len(means) ** 0.5


def test_two_tenants_get_the_same_work_while_both_are_backlogged() -> None:
    places, size = 4, Uniform(1, 3 * CANVAS)
    heavy, light = (kind(name, traffic=t, output=size) for name, t in (("heavy", 4), ("light", 1)))
    run = simulate(plan(heavy, light, rate=10.0, requests=400, max_num_seqs=places))
    received = run.service.received
    # either may be ahead by what fills all places, when counting begins and when it ends
    largest = 30 + (2 + 3) * CANVAS
    assert abs(received["heavy"] - received["light"]) <= 2 * places * largest
    assert received["light"] > 20 * largest
    # and the light one, for whom half of the machine is more than enough, is through first
    ends = {visit.request.kind: visit.end_s or 0.0 for visit in run.visits}
    assert ends["light"] < 0.5 * ends["heavy"]


def test_a_priority_gets_four_times_the_work_of_the_next_lower_one() -> None:
    high, low = kind("high", priority=1), kind("low")
    run = simulate(plan(high, low, rate=50.0, requests=400, max_num_seqs=1))
    assert run.service.fairness() == pytest.approx(1.0, abs=0.001)
    received = run.service.received
    assert received["high"] / received["low"] == pytest.approx(4.0, rel=0.05)


ROWS_TIME = PassTimes({(c, r, 0): 1.0 + r / 1_000 for c in (1, 2) for r in (0, 1_000)})
BUDGET = 100


def draft_behind(long_prompt: int) -> float:
    """Worst time to first draft of short requests while a long prompt is being read."""
    kinds: tuple[Kind, ...] = (
        kind("long", prompt=Fixed(long_prompt), traffic=0.1),
        kind("short", prompt=Fixed(10)),
    )
    run = simulate(
        plan(*kinds, rate=0.3, requests=40, machine=machine(ROWS_TIME), prefill_tokens=BUDGET)
    )
    assert any(visit.request.kind == "long" for visit in run.visits)
    return max(
        (visit.draft_s or 0.0) - visit.request.arrival_s
        for visit in run.visits
        if visit.request.kind == "short"
    )


def test_a_short_request_waits_for_a_pass_of_the_budget_however_long_the_prompt_beside_it() -> None:
    # what is left of the pass under way, and its own; each reads as many tokens as it may at most
    bound = 2 * (1.0 + BUDGET / 1_000)
    assert 1.0 < draft_behind(2_000) <= bound
    assert 1.0 < draft_behind(8_000) <= bound


def test_the_same_seed_is_the_same_run() -> None:
    def told(seed: int) -> list[tuple[int, float | None, float | None]]:
        one = kind(prompt=Lognormal(100, 1.0, 2_000), output=Uniform(1, 300), steps=Uniform(1, 9))
        run = simulate(plan(one, rate=1.0, requests=60, replicas=3, seed=seed))
        return [(visit.request.request_id, visit.draft_s, visit.end_s) for visit in run.visits]

    assert told(1) == told(1) != told(2)


def test_the_least_loaded_engine_beats_taking_turns_where_sizes_differ_much() -> None:
    # one pass a request, most of some two seconds and some of 41
    times = PassTimes({(c, r, 0): 1.0 + r / 100 for c in (1, 2) for r in (0, 100)})
    tail = kind(prompt=Lognormal(100, 1.5, 4_000))
    worst = {}
    for routing in ("round-robin", "least-loaded"):
        run = simulate(
            plan(
                tail,
                rate=0.5,
                requests=500,
                machine=machine(times),
                prefill_tokens=4_000,
                max_num_seqs=1,
                replicas=4,
                routing=routing,
            )
        )
        worst[routing] = figures(run).kind("a").total.p99
    assert worst["least-loaded"] < 0.8 * worst["round-robin"]


def test_requests_of_one_prefix_find_each_other_where_the_prefix_decides() -> None:
    one = kind(prompt=Fixed(30), prefix_tokens=256, prefixes=16)
    hits = {}
    for routing in ("round-robin", "prefix-affinity"):
        run = simulate(plan(one, rate=0.5, requests=100, replicas=4, routing=routing))
        hits[routing] = figures(run).prefix_hits
    # read once at each engine, or once at all, but for what went elsewhere under load
    assert hits["prefix-affinity"] > hits["round-robin"] + 0.2


def test_all_that_arrive_at_the_same_time_share_the_next_pass() -> None:
    run = simulate(plan(rate=AT_ONCE, requests=8))
    assert run.replicas[0].work.passes == 2
    assert since_arrival(run, "end_s") == pytest.approx([1.0, *[2.0] * 7], abs=1e-6)
