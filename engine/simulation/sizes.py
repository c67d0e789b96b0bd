"""Distributions of a count: of prompt tokens, output tokens or steps. One draw is at least 1."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

from palimpsest.engine.simulation.fields import Fields, is_number, shown

MOST = 2**20
"""Bound of any count."""
_FORMS = (
    'not a whole number, {"uniform": [low, high]} or '
    '{"lognormal": {"median": m, "sigma": s, "max": n}}'
)


@dataclass(frozen=True, slots=True)
class Fixed:
    """Always the same."""

    most: int
    """The largest count that can come, here as in the others."""

    def draw(self, random: Random) -> int:
        return self.most


@dataclass(frozen=True, slots=True)
class Uniform:
    """Each count between two as likely as any other, both included."""

    low: int
    most: int

    def draw(self, random: Random) -> int:
        return random.randint(self.low, self.most)


@dataclass(frozen=True, slots=True)
class Lognormal:
    """Half of the counts below the median, and a tail that is cut off at `most`."""

    median: float
    sigma: float
    """Of the logarithm: 0.7 means that one in six is over twice the median."""
    most: int

    def draw(self, random: Random) -> int:
        count = round(self.median * math.exp(self.sigma * random.gauss(0.0, 1.0)))
        return min(max(count, 1), self.most)


Size: TypeAlias = Fixed | Uniform | Lognormal
"""A count that differs from request to request."""


def size(fields: Fields, name: str, most: int = MOST) -> Size:
    """A field as 300, {"uniform": [8, 24]} or {"lognormal": {...}}. Raises BadInput."""
    value = fields.get(name)
    if not isinstance(value, dict):
        return Fixed(fields.count(name, 1, most))
    inner = fields.object(name)
    match list(value):
        case ["uniform"]:
            return _uniform(inner, most)
        case ["lognormal"]:
            return _lognormal(inner.object("lognormal"), most)
    raise fields.refusal(name, f"{shown(value)} is {_FORMS}")


def _uniform(fields: Fields, most: int) -> Uniform:
    value = fields.list("uniform")
    whole = all(isinstance(one, int) and not isinstance(one, bool) for one in value)
    if len(value) != 2 or not whole or not 1 <= value[0] <= value[1] <= most:
        reason = f"{shown(value)} is not two whole numbers from 1 to {most}, the smaller one first"
        raise fields.refusal("uniform", reason)
    return Uniform(*value)


def _lognormal(fields: Fields, most: int) -> Lognormal:
    fields.refuse_unknown(("median", "sigma", "max"))
    sigma = fields.get("sigma")
    if not is_number(sigma) or not 0 <= sigma <= 5:
        raise fields.refusal("sigma", f"{shown(sigma)} is not within 0 to 5")
    return Lognormal(fields.positive("median"), sigma, fields.count("max", 1, most))
