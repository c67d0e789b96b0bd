"""Draining: what runs is waited for, but neither for ever nor against the operator's will."""

from __future__ import annotations

from palimpsest.server.app import Shutdown, drain
from palimpsest.server.gate import Gate

NEVER_S = 1e6


async def test_an_idle_server_is_drained_at_once() -> None:
    assert await drain(Gate(), Shutdown(), NEVER_S)


async def test_a_second_request_to_end_does_not_wait_for_what_runs() -> None:
    gate, shutdown = Gate(), Shutdown()
    with gate.enter():
        shutdown.request()
        shutdown.request()
        assert not await drain(gate, shutdown, NEVER_S)


async def test_what_runs_longer_than_the_timeout_is_not_waited_for() -> None:
    gate = Gate()
    with gate.enter():
        assert not await drain(gate, Shutdown(), 0.0)
