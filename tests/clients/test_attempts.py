"""When a call is made again: how often, after how long, and never past its timeout."""

from __future__ import annotations

import pytest

from palimpsest.attempts import FIRST_WAIT_S, LONGEST_WAIT_S, Attempts
from palimpsest.connection import Connection
from palimpsest.errors import NotFound, Unavailable

GONE = Unavailable("gone")


def attempts(*, retries: int = 3, timeout_s: float | None = None) -> Attempts:
    return Attempts(retries=retries, timeout_s=timeout_s, metadata=())


def test_waits_double_up_to_a_limit_and_by_chance_spare_up_to_half() -> None:
    trying = attempts(retries=1_000)
    waits = [trying.wait_s(GONE) for _ in range(1_000)]
    for index, wait_s in enumerate(waits):
        longest_s = min(FIRST_WAIT_S * 2 ** min(index, 10), LONGEST_WAIT_S)
        assert longest_s / 2 <= wait_s <= longest_s
    assert len(set(waits)) > 900


def test_the_server_s_own_hint_is_the_least() -> None:
    assert 30.0 < attempts().wait_s(Unavailable("restarting", 30.0)) <= 30.0 + FIRST_WAIT_S


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_after_too_many_failures_the_last_one_is_raised(retries: int) -> None:
    trying = attempts(retries=retries)
    for _ in range(retries):
        trying.wait_s(GONE)
    with pytest.raises(Unavailable, match="gone for good"):
        trying.wait_s(Unavailable("gone for good"))


def test_success_starts_the_count_and_the_waits_over() -> None:
    trying = attempts(retries=1)
    for _ in range(10):
        assert trying.wait_s(GONE) <= FIRST_WAIT_S
        trying.succeed()


def test_other_errors_are_raised_at_once() -> None:
    with pytest.raises(NotFound):
        attempts().wait_s(NotFound("no such model"))


def test_there_is_no_further_try_when_its_wait_would_end_after_the_timeout() -> None:
    with pytest.raises(Unavailable):
        attempts(timeout_s=20.0).wait_s(Unavailable("restarting", 30.0))
    with pytest.raises(Unavailable):
        attempts(timeout_s=0.0).wait_s(GONE)


def test_each_try_gets_the_time_that_is_left_of_the_timeout() -> None:
    assert attempts().options()["timeout"] is None
    trying = attempts(timeout_s=20.0)
    first, second = trying.options()["timeout"], trying.options()["timeout"]
    assert first is not None
    assert second is not None
    assert 0.0 < second <= first <= 20.0


def test_retries_below_zero_are_refused_with_the_bound() -> None:
    with pytest.raises(ValueError, match="retries: -1 is not 0 or more"):
        Connection(address="127.0.0.1:1", retries=-1)
