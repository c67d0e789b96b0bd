"""Percentiles, and how even service is."""

from __future__ import annotations

import pytest

from palimpsest.engine.simulation.figures import Spread, spread
from palimpsest.engine.simulation.service import Service, jain, total

A, B, HIGH = ("a", 0), ("b", 0), ("high", 1)


def test_percentiles_lie_between_values_where_they_fall_between() -> None:
    assert spread(range(101)) == Spread(50, 90, 99)
    assert spread([3.0]) == Spread(3.0, 3.0, 3.0)
    assert spread([2.0, 1.0]) == Spread(1.5, 1.9, 1.99)


def test_the_index_is_one_if_all_are_equal_and_one_in_n_if_one_has_everything() -> None:
    assert jain([2.0, 2.0, 2.0]) == 1.0
    assert jain([5.0, 0.0, 0.0, 0.0]) == 0.25
    assert jain([]) is None


def test_service_counts_for_fairness_only_where_several_wait_throughout_an_interval() -> None:
    service = Service(10.0)
    service.count(1.0, {A: 100}, {A})
    service.count(2.0, {A: 100}, {A, B})
    service.count(11.0, {A: 30, B: 10}, {A, B})
    service.count(12.0, {B: 10}, {A, B})
    service.close()
    assert service.parts() == {"a": 30 / 25, "b": 20 / 25}
    assert service.fairness() == pytest.approx(50**2 / (2 * (30**2 + 20**2)))
    assert service.course == {"a": {0: 200, 1: 30}, "b": {1: 20}}


def test_fair_parts_are_in_the_proportion_of_priorities() -> None:
    service = Service(10.0)
    service.count(1.0, {A: 20, HIGH: 80}, {A, HIGH})
    service.close()
    assert service.parts() == {"a": 1.0, "high": 1.0}


def test_services_of_engines_add_up() -> None:
    services = []
    for work in ({A: 10, B: 30}, {A: 30, B: 10}):
        services.append(Service(1.0))
        services[-1].count(0.5, work, {A, B})
        services[-1].close()
    whole = total(services)
    assert whole.parts() == {"a": 1.0, "b": 1.0}
    assert whole.course == {"a": {0: 40}, "b": {0: 40}}


def test_nobody_waiting_is_no_fairness_at_all() -> None:
    service = Service(1.0)
    service.count(0.5, {A: 10}, set())
    service.close()
    assert service.fairness() is None
