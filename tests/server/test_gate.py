"""The gate: those inside may finish, nobody else comes in."""

from __future__ import annotations

import asyncio

import pytest

from palimpsest.engine.api import EngineStopped
from palimpsest.server.gate import Gate


async def test_a_closed_gate_lets_nobody_in_and_waits_for_those_inside() -> None:
    gate = Gate()
    with gate.enter():
        gate.close()
        waiting = asyncio.ensure_future(gate.wait_empty())
        with pytest.raises(EngineStopped, match="shutting down"), gate.enter():
            pass
        assert not waiting.done()
    await waiting


async def test_an_empty_gate_has_nobody_to_wait_for() -> None:
    gate = Gate()
    gate.close()
    await gate.wait_empty()
