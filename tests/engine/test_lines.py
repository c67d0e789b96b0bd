"""Whose turn it is: fair shares, priorities, and nobody waits for ever."""

from __future__ import annotations

from collections import Counter

import pytest

from palimpsest.engine.lines import PRIORITY_FACTOR, FairLines, LineKey

ANN, BOB = ("ann", 0), ("bob", 0)


def served(lines: FairLines[str], rounds: int, work: float = 1.0) -> Counter[LineKey]:
    """Runs one after another, each putting as much work into its line, while new ones follow."""
    counts: Counter[LineKey] = Counter()
    for _ in range(rounds):
        entry = lines.next()
        assert entry is not None
        key, one = entry
        assert lines.take(key) == one
        lines.add(key, "next")
        lines.charge(key, work)
        lines.end(key)
        counts[key] += 1
    return counts


def test_an_empty_line_has_nobody_next() -> None:
    assert FairLines[str]().next() is None


def test_one_line_is_served_as_it_came() -> None:
    lines = FairLines[str]()
    for name in "abc":
        lines.add(ANN, name)
    taken = []
    while (entry := lines.next()) is not None:
        taken.append(lines.take(entry[0]))
    assert taken == ["a", "b", "c"]


def test_a_hundred_requests_of_one_do_not_hold_back_the_first_of_another() -> None:
    lines = FairLines[str]()
    for _ in range(100):
        lines.add(ANN, "ann's")
    lines.take(ANN)
    lines.charge(ANN, 5.0)
    lines.add(BOB, "bob's")
    lines.charge(ANN, 1.0)
    assert lines.next() == (BOB, "bob's")


def test_two_lines_get_the_same_work() -> None:
    lines = FairLines[str]()
    lines.add(ANN, "a")
    lines.add(BOB, "b")
    assert served(lines, 100) == {ANN: 50, BOB: 50}


@pytest.mark.parametrize("priority", [-1, 1])
def test_a_priority_gets_its_factor_of_the_work(priority: int) -> None:
    lines, other = FairLines[str](), ("bob", priority)
    lines.add(ANN, "a")
    lines.add(other, "b")
    counts = served(lines, 1000)
    assert counts[other] / counts[ANN] == pytest.approx(PRIORITY_FACTOR**priority, rel=0.05)


def test_a_newcomer_saves_up_no_time() -> None:
    lines = FairLines[str]()
    lines.add(ANN, "a")
    served(lines, 50)
    lines.add(BOB, "b")
    assert served(lines, 20) == {ANN: 10, BOB: 10}


def test_a_line_that_ran_without_waiting_saves_up_no_time_either() -> None:
    lines = FairLines[str]()
    lines.add(BOB, "b")
    lines.take(BOB)
    lines.add(ANN, "a")
    served(lines, 500)
    lines.add(BOB, "b")
    assert served(lines, 20) == {ANN: 10, BOB: 10}


def test_places_that_are_free_at_once_go_to_all_lines() -> None:
    lines = FairLines[str]()
    for key in (ANN, ANN, BOB, BOB):
        lines.add(key, "one")
    taken = []
    while (entry := lines.next()) is not None:
        taken.append(entry[0])
        lines.take(entry[0])
    assert taken == [ANN, BOB, ANN, BOB]


def test_one_that_is_put_back_comes_first_again() -> None:
    lines = FairLines[str]()
    lines.add(ANN, "first")
    lines.add(ANN, "second")
    lines.put_back(ANN, lines.take(ANN))
    assert lines.next() == (ANN, "first")


def test_lines_that_are_over_are_forgotten() -> None:
    lines = FairLines[str]()
    for i in range(1000):
        lines.add((str(i), 0), "one")
        lines.take((str(i), 0))
        lines.end((str(i), 0))
        lines.add((str(i), 1), "two")
        lines.drop((str(i), 1), "two")
    assert len(lines) == 0
    assert not lines._lines
