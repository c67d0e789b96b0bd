"""Which engine a request goes to."""

from __future__ import annotations

import pytest

from palimpsest.engine.simulation.routing import (
    Unfinished,
    least_loaded,
    prefix_affinity,
    round_robin,
)


def sent(unfinished: Unfinished, *engines: int) -> Unfinished:
    for engine in engines:
        unfinished.send(engine)
    return unfinished


def prompt(first: int) -> list[int]:
    return [first, *[0] * 100]


def test_round_robin_takes_turns_whatever_is_unfinished() -> None:
    unfinished = Unfinished(3)
    chosen = []
    for _ in range(5):
        chosen.append(round_robin([], unfinished))
        unfinished.send(chosen[-1])
    assert chosen == [0, 1, 2, 0, 1]


def test_least_loaded_is_the_one_with_the_fewest_at_any_time() -> None:
    unfinished = sent(Unfinished(3), 0, 0, 1, 2, 2)
    assert least_loaded([], unfinished) == 1
    sent(unfinished, 1, 1)
    unfinished.end(2)
    assert least_loaded([], unfinished) == 2
    unfinished.end(0)
    unfinished.end(0)
    assert least_loaded([], unfinished) == 0
    assert (unfinished.counts, unfinished.total, unfinished.sent) == ([0, 3, 1], 4, 7)


@pytest.mark.parametrize("first", range(20))
def test_a_first_page_goes_to_the_same_engine_whatever_follows_it(first: int) -> None:
    unfinished = Unfinished(4)
    engine = prefix_affinity(prompt(first), unfinished)
    assert prefix_affinity([*prompt(first), 1, 2, 3], sent(unfinished, engine)) == engine


def test_a_prefix_is_no_reason_to_go_to_an_overloaded_engine() -> None:
    unfinished = Unfinished(4)
    engine = prefix_affinity(prompt(0), unfinished)
    sent(unfinished, *[engine] * 10)
    assert prefix_affinity(prompt(0), unfinished) == unfinished.least() != engine


def test_a_prompt_shorter_than_a_page_goes_to_the_least_loaded() -> None:
    assert prefix_affinity([1, 2], sent(Unfinished(2), 0)) == 1
