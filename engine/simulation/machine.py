"""How long a pass takes on a machine, from a table of points, and what its cache holds.

A file of `--machine` is one JSON object:

    {"name": "my card", "source": "measured on 2026-03-01 with ...",
     "canvas_tokens": 256, "context_tokens": 262144, "cache_gib": 80,
     "bytes_per_token": {"full": 20480, "1024": 204800},
     "points": [[1, 0, 1024, 0.0093], [1, 1024, 1024, 0.0139], ...]}

A point is canvases of a pass, causal rows of it (tokens of prompts and commits), context (tokens
before a row, the mean over all rows), and seconds. Points form a grid: each combination of the
numbers once, at least two of canvases and two of causal rows; with a single context the time does
not depend on it. Between points, and beyond the outermost, the time goes on in straight lines, but
no pass is quicker than the quickest point. `bytes_per_token` are those of keys and values, by
window; `full` is full attention.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from palimpsest.engine.capacity import Capacity, Demand, share_out
from palimpsest.engine.pages import Window
from palimpsest.engine.simulation.fields import BadInput, Fields, is_number, read, shown

Place: TypeAlias = tuple[int, int, int]
"""Canvases, causal rows and context of a point."""

_AXES = ("canvases", "causal rows", "context")
_FIELDS = (
    "name",
    "source",
    "canvas_tokens",
    "context_tokens",
    "cache_gib",
    "bytes_per_token",
    "points",
)
_FULL = "full"
_GIB = 2**30
_MOST = 2**40
"""Bound of numbers that have no other; keeps typos out."""


class PassTimes:
    """Seconds of a pass, straight between the points of a grid. Raises BadInput if it is none."""

    def __init__(self, points: Mapping[Place, float]) -> None:
        axes = [sorted({place[axis] for place in points}) for axis in range(len(_AXES))]
        for name, axis in zip(_AXES[:2], axes, strict=False):
            if len(axis) < 2:
                raise BadInput(f"{name} {axis} are not two different numbers or more")
        self._canvases, self._rows, self._contexts = axes
        self._seconds = [
            [[_point(points, (c, r, x)) for x in self._contexts] for r in self._rows]
            for c in self._canvases
        ]
        self._quickest = min(points.values())

    def seconds(self, canvases: float, causal_rows: float, context: float) -> float:
        """Of one pass."""
        i, of_canvases = _cell(self._canvases, canvases)
        j, of_rows = _cell(self._rows, causal_rows)
        k, of_context = _cell(self._contexts, context)
        corners = [
            _between(row[k], row[min(k + 1, len(row) - 1)], of_context)
            for plane in self._seconds[i : i + 2]
            for row in plane[j : j + 2]
        ]
        fewer = _between(corners[0], corners[1], of_rows)
        more = _between(corners[2], corners[3], of_rows)
        return max(self._quickest, _between(fewer, more, of_canvases))


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What runs one engine."""

    name: str
    source: str
    """Where its times come from."""
    canvas_tokens: int
    context_tokens: int
    """Of the longest sequence, prompt and answer."""
    cache_bytes: int
    """For keys and values."""
    bytes_per_token: Mapping[Window, int]
    times: PassTimes

    def capacity(
        self, *, max_num_seqs: int, prefill_tokens: int, cache_gib: float | None = None
    ) -> Capacity:
        """What an engine on it may hold. Raises BadInput if not even one full sequence fits."""
        demand = Demand(
            bytes_per_token=self.bytes_per_token,
            context_tokens=self.context_tokens,
            chunk_tokens=max(prefill_tokens, self.canvas_tokens),
        )
        budget = self.cache_bytes if cache_gib is None else int(cache_gib * _GIB)
        if budget < demand.bytes_of_one:
            raise BadInput(
                f"--kv-cache-memory: {budget / _GIB:.2f} is not at least "
                f"{demand.bytes_of_one / _GIB:.2f} GiB, for one sequence of "
                f"{self.context_tokens} tokens"
            )
        pages = share_out(budget, demand, max_num_seqs=max_num_seqs)
        return Capacity(
            pages=pages,
            cache_bytes=demand.bytes_of(pages),
            max_num_seqs=max_num_seqs,
            prefill_tokens=prefill_tokens,
        )


def load(path: Path) -> Machine:
    """A machine from a file. Raises BadInput."""
    fields = read(path)
    fields.refuse_unknown(_FIELDS)
    try:
        times = PassTimes(_points(fields))
    except BadInput as problem:
        raise fields.refusal("points", str(problem)) from None
    return Machine(
        name=fields.text("name"),
        source=fields.text("source"),
        canvas_tokens=fields.count("canvas_tokens", 1, 2**16),
        context_tokens=fields.count("context_tokens", 1, _MOST),
        cache_bytes=int(fields.positive("cache_gib") * _GIB),
        bytes_per_token=_bytes_per_token(fields.object("bytes_per_token")),
        times=times,
    )


def _points(fields: Fields) -> dict[Place, float]:
    points: dict[Place, float] = {}
    for number, value in enumerate(fields.list("points")):
        if not _is_point(value):
            expected = "three whole numbers from 0 on and a number of seconds above 0"
            raise BadInput(f"{shown(value)}, number {number}, is not {expected}")
        canvases, rows, context, seconds = value
        if (canvases, rows, context) in points:
            raise BadInput(f"{shown(value)}, number {number}, is there twice")
        points[canvases, rows, context] = seconds
    return points


def _is_point(value: Any) -> bool:  # noqa: ANN401 - JSON
    if not isinstance(value, list) or len(value) != 4 or not all(map(is_number, value)):
        return False
    whole = all(isinstance(one, int) and 0 <= one <= _MOST for one in value[:3])
    return whole and value[3] > 0


def _point(points: Mapping[Place, float], place: Place) -> float:
    if place not in points:
        told = ", ".join(f"{name} {value}" for name, value in zip(_AXES, place, strict=True))
        raise BadInput(f"no point has {told}, and a grid has each combination")
    return points[place]


def _bytes_per_token(fields: Fields) -> dict[Window, int]:
    sizes: dict[Window, int] = {}
    for name in fields.values:
        if name != _FULL and not (name.isascii() and name.isdigit() and int(name)):
            raise fields.refusal(name, f"is not a window, and not {_FULL!r}")
        sizes[None if name == _FULL else int(name)] = fields.count(name, 1, _MOST)
    if not sizes:
        raise BadInput(f"{fields.where}: {{}} is not an object with one window or more")
    return sizes


def _cell(axis: Sequence[int], value: float) -> tuple[int, float]:
    """Which interval of an axis a value belongs to, and where in it; outside, the outermost."""
    if len(axis) == 1:
        return 0, 0.0
    index = min(max(bisect_right(axis, value) - 1, 0), len(axis) - 2)
    return index, (value - axis[index]) / (axis[index + 1] - axis[index])


def _between(low: float, high: float, part: float) -> float:
    return low + (high - low) * part
