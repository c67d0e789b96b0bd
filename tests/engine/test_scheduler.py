"""Who runs next."""

from __future__ import annotations

from palimpsest.engine.scheduler import Scheduler


def line(*requests: str) -> Scheduler[str]:
    scheduler: Scheduler[str] = Scheduler()
    for request_id, request in enumerate(requests):
        scheduler.add(request_id, request)
    return scheduler


def test_an_empty_line_has_nothing_to_run() -> None:
    scheduler = line()
    assert not scheduler.busy
    assert scheduler.next() is None


def test_requests_run_one_at_a_time_as_they_came() -> None:
    scheduler = line("a", "b", "c")
    assert [scheduler.next(), scheduler.next()] == ["a", "a"]
    scheduler.remove(0)
    assert scheduler.next() == "b"
    scheduler.remove(1)
    assert scheduler.next() == "c"
    scheduler.remove(2)
    assert not scheduler.busy


def test_a_waiting_request_can_be_removed() -> None:
    scheduler = line("a", "b", "c")
    assert scheduler.next() == "a"
    scheduler.remove(1)
    scheduler.remove(0)
    assert scheduler.next() == "c"


def test_removing_an_unknown_request_is_no_error() -> None:
    scheduler = line("a")
    scheduler.remove(7)
    assert scheduler.next() == "a"
    scheduler.remove(0)
    scheduler.remove(0)
    assert not scheduler.busy


def test_a_request_that_only_waits_keeps_the_engine_busy() -> None:
    scheduler = line("a", "b")
    scheduler.next()
    scheduler.remove(0)
    assert scheduler.busy
