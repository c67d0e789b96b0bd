"""Threads of a pass."""

from __future__ import annotations

import pytest

from palimpsest.engine.threads import Threads, threads_for


@pytest.mark.parametrize(
    ("rows", "threads"), [(1, 1), (1024, 1), (2048, 2), (4096, 4), (100_000, 4)]
)
def test_a_small_network_wakes_a_thread_for_many_rows_only(rows: int, threads: int) -> None:
    assert threads_for(4_000_000, cores=4).of(rows) == threads


def test_a_large_network_always_uses_all_cores() -> None:
    assert threads_for(25_000_000_000, cores=16).of(256) == 16


def test_an_empty_pass_has_a_thread() -> None:
    assert Threads(most=2, rows_each=256).of(0) == 1
