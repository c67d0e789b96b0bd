"""95 % intervals of accuracies and of their differences. All of them hold near 0 and 1 and for few
items, where the usual ±1.96 standard errors do not.

Wilson: E. B. Wilson, Probable inference, the law of succession, and statistical inference, Journal
of the American Statistical Association 22 (1927) 209-212.
Independent: R. G. Newcombe, Interval estimation for the difference between independent
proportions, Statistics in Medicine 17 (1998) 873-890, method 10.
Paired: R. G. Newcombe, Improved confidence intervals for the difference between binomial
proportions based on paired data, Statistics in Medicine 17 (1998) 2635-2650, method 10.
Mean: G. Y. Zou and A. Donner, Construction of confidence limits about effect measures,
Statistics in Medicine 27 (2008) 1693-1702.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def below(self) -> float:
        """How far the interval reaches down."""
        return self.value - self.low

    @property
    def above(self) -> float:
        """How far the interval reaches up."""
        return self.high - self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Items that were asked twice, by how both answers did."""

    both: int
    only_first: int
    only_second: int
    neither: int

    @property
    def total(self) -> int:
        """Number of items."""
        return self.both + self.only_first + self.only_second + self.neither

    @property
    def correlation(self) -> float:
        """Phi, with Newcombe's correction, which takes small positive ones for none."""
        first, second = self.both + self.only_first, self.both + self.only_second
        spread = first * (self.total - first) * second * (self.total - second)
        agreement = self.both * self.neither - self.only_first * self.only_second
        if agreement > 0:
            agreement = max(agreement - self.total / 2, 0)
        return agreement / sqrt(spread) if spread else 0.0


def accuracy(right: int, total: int) -> Estimate:
    """Share of right answers, with Wilson's interval. `total` is at least 1."""
    share = right / total
    middle = (right + Z * Z / 2) / (total + Z * Z)
    reach = Z * sqrt(total) / (total + Z * Z) * sqrt(share * (1 - share) + Z * Z / (4 * total))
    # Where none or all are right an end is the share itself, and only rounding says otherwise.
    low, high = max(0.0, min(share, middle - reach)), min(1.0, max(share, middle + reach))
    return Estimate(value=share, low=low, high=high)


def independent_difference(first: Estimate, second: Estimate) -> Estimate:
    """First accuracy minus second, of different items."""
    return _difference(first, second, correlation=0.0)


def paired_difference(pairs: Pairs) -> Estimate:
    """First accuracy minus second, of the same items. There is at least one."""
    first = accuracy(pairs.both + pairs.only_first, pairs.total)
    second = accuracy(pairs.both + pairs.only_second, pairs.total)
    return _difference(first, second, correlation=pairs.correlation)


def mean(estimates: Sequence[Estimate]) -> Estimate:
    """Mean of independent estimates, of which there is at least one."""
    count = len(estimates)
    value = sum(estimate.value for estimate in estimates) / count
    return Estimate(
        value=value,
        low=value - sqrt(sum(estimate.below**2 for estimate in estimates)) / count,
        high=value + sqrt(sum(estimate.above**2 for estimate in estimates)) / count,
    )


def _difference(first: Estimate, second: Estimate, *, correlation: float) -> Estimate:
    value = first.value - second.value
    return Estimate(
        value=value,
        low=value - _joined(first.below, second.above, correlation),
        high=value + _joined(first.above, second.below, correlation),
    )


def _joined(one: float, other: float, correlation: float) -> float:
    # Rounding may leave a hair below 0 where both cancel.
    return sqrt(max(0.0, one * one + other * other - 2 * correlation * one * other))
