"""Intervals against the worked examples of the papers they come from."""

from __future__ import annotations

from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palimpsest.evaluation.intervals import (
    Estimate,
    Pairs,
    accuracy,
    independent_difference,
    mean,
    paired_difference,
)

ROUNDED = 0.00006
"""The papers give four places."""


def ends(estimate: Estimate) -> tuple[float, float]:
    return estimate.low, estimate.high


# Newcombe, Two-sided confidence intervals for the single proportion, Statistics in Medicine 17
# (1998) 857-872, table I, method 3.
@pytest.mark.parametrize(
    ("right", "total", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_an_accuracy_has_wilson_s_interval(right: int, total: int, low: float, high: float) -> None:
    estimate = accuracy(right, total)
    assert estimate.value == right / total
    assert ends(estimate) == pytest.approx((low, high), abs=ROUNDED)


# Newcombe, Statistics in Medicine 17 (1998) 873-890, table II, method 10.
@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0),
    ],
)
def test_a_difference_of_two_samples_has_newcombe_s_interval(
    first: tuple[int, int], second: tuple[int, int], low: float, high: float
) -> None:
    estimate = independent_difference(accuracy(*first), accuracy(*second))
    assert ends(estimate) == pytest.approx((low, high), abs=ROUNDED)


# The first from Newcombe, Statistics in Medicine 17 (1998) 2635-2650; the others (to three and four
# places) from Fagerland, Lydersen and Laake, Statistics in Medicine 33 (2014) 2850-2875.
@pytest.mark.parametrize(
    ("pairs", "low", "high", "rounded"),
    [
        ((36, 12, 2, 0), 0.0569, 0.3404, ROUNDED),
        ((1, 1, 7, 12), -0.507, -0.026, 0.0006),
        ((59, 6, 16, 80), -0.1186, -0.0046, ROUNDED),
    ],
)
def test_a_difference_of_pairs_has_newcombe_s_interval_for_pairs(
    pairs: tuple[int, int, int, int], low: float, high: float, rounded: float
) -> None:
    names = ("both", "only_first", "only_second", "neither")
    estimate = paired_difference(Pairs(**dict(zip(names, pairs, strict=True))))
    assert ends(estimate) == pytest.approx((low, high), abs=rounded)


def test_pairs_that_agree_tell_more_than_two_samples() -> None:
    agreeing = paired_difference(Pairs(both=700, only_first=10, only_second=10, neither=280))
    samples = independent_difference(accuracy(710, 1000), accuracy(710, 1000))
    assert agreeing.value == samples.value == 0
    assert agreeing.high < samples.high / 2


def test_a_mean_joins_the_reaches_of_its_parts() -> None:
    estimate = mean(
        [Estimate(value=0.1, low=0.0, high=0.3), Estimate(value=0.3, low=0.0, high=0.5)]
    )
    assert estimate.value == pytest.approx(0.2)
    expected = (0.2 - sqrt(0.1**2 + 0.3**2) / 2, 0.2 + sqrt(0.2**2 + 0.2**2) / 2)
    assert ends(estimate) == pytest.approx(expected)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_lies_between_0_and_1_around_its_accuracy(counts: tuple[int, int]) -> None:
    estimate = accuracy(*counts)
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


@given(st.tuples(*[st.integers(0, 50)] * 4).filter(any))
def test_swapping_the_runs_mirrors_the_difference(counts: tuple[int, int, int, int]) -> None:
    both, first, second, neither = counts
    one = paired_difference(Pairs(both=both, only_first=first, only_second=second, neither=neither))
    other = paired_difference(
        Pairs(both=both, only_first=second, only_second=first, neither=neither)
    )
    assert ends(one) == pytest.approx((-other.high, -other.low))
    assert one.low <= one.value <= one.high
