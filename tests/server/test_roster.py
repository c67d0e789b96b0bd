"""Places of requests, and when to ask for one again."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from palimpsest.engine.api import Overloaded
from palimpsest.server.roster import Roster


class Hours:
    """A clock that somebody turns."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def retry_after_s(roster: Roster, count: int = 1) -> float:
    with pytest.raises(Overloaded) as caught, roster.reserve(count):
        pass
    return caught.value.retry_after_s


def stay(roster: Roster, clock: Hours, seconds: float) -> None:
    with roster.admit():
        clock.seconds += seconds


def full(places: ExitStack, roster: Roster, count: int) -> None:
    for _ in range(count):
        places.enter_context(roster.admit())


def test_a_full_house_says_when_a_place_should_become_free() -> None:
    clock = Hours()
    roster = Roster(max_running=2, max_queue=2, clock=clock)
    for _ in range(50):
        stay(roster, clock, 20.0)
    with ExitStack() as places:
        full(places, roster, 4)
        assert retry_after_s(roster) == pytest.approx(5.0)
        assert retry_after_s(roster, 3) == pytest.approx(15.0)


def test_short_and_long_stays_are_bounded() -> None:
    clock = Hours()
    roster = Roster(max_running=1, max_queue=0, clock=clock)
    with roster.admit():
        assert retry_after_s(roster) == 1.0
    for _ in range(9):
        stay(roster, clock, 1e4)
    with roster.admit():
        assert retry_after_s(roster) == 60.0


def test_what_is_reserved_counts_as_taken_until_the_block_ends() -> None:
    roster = Roster(max_running=2, max_queue=0)
    with roster.reserve(2) as ids:
        assert next(ids) != next(ids)
        assert len(roster) == 2
        retry_after_s(roster)
    assert len(roster) == 0
    with roster.admit():
        pass
