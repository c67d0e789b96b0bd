"""How long a pass takes: straight between the points of a table, and refused if it is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from palimpsest.engine.simulation.fields import BadInput
from palimpsest.engine.simulation.h200 import H200
from palimpsest.engine.simulation.machine import PassTimes, load

GRID = {
    (canvases, rows, context): 1.0 + canvases + rows / 100 + canvases * context / 1000
    for canvases in (1, 2, 4)
    for rows in (0, 100)
    for context in (0, 1000)
}
"""Straight in each direction, so that each value in between and beyond is known."""

FILE: dict[str, Any] = {
    "name": "card",
    "source": "made up",
    "canvas_tokens": 256,
    "context_tokens": 1024,
    "cache_gib": 0.5,
    "bytes_per_token": {"full": 20, "512": 200},
    "points": [[*place, seconds] for place, seconds in GRID.items()],
}


@pytest.mark.parametrize(
    "place", [(1, 0, 0), (2, 100, 1000), (3, 50, 500), (1, 25, 10), (40, 900, 3000), (4, 0, 5000)]
)
def test_a_table_is_straight_between_its_points_and_beyond(place: tuple[int, int, int]) -> None:
    canvases, rows, context = place
    expected = 1.0 + canvases + rows / 100 + canvases * context / 1000
    assert PassTimes(GRID).seconds(*place) == pytest.approx(expected, rel=1e-12)


def test_bends_of_a_table_are_at_its_points() -> None:
    bent = {(c, r, 0): s for c, s in ((1, 1.0), (2, 1.0), (4, 5.0)) for r in (0, 1)}
    times = PassTimes(bent)
    assert [times.seconds(c, 0, 7) for c in (1, 1.5, 2, 3, 4, 6)] == [1, 1, 1, 3, 5, 9]


def test_no_pass_is_quicker_than_the_quickest_point() -> None:
    assert PassTimes(GRID).seconds(0, 0, 0) == 2.0


def test_the_built_in_machine_has_the_predictions_of_the_design() -> None:
    milliseconds = [1000 * H200.times.seconds(b, 0, 1024) for b in (1, 2, 4, 8, 16)]
    assert milliseconds == pytest.approx([9.3, 11.7, 16.5, 26.6, 51.8])
    assert H200.times.seconds(32, 0, 1024) == pytest.approx((51.8 + 2 * (51.8 - 26.6)) / 1000)


def test_a_file_holds_a_machine(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    path.write_text(json.dumps(FILE))
    machine = load(path)
    assert (machine.name, machine.bytes_per_token) == ("card", {None: 20, 512: 200})
    assert machine.times.seconds(2, 0, 0) == 3.0
    capacity = machine.capacity(max_num_seqs=3, prefill_tokens=100)
    assert capacity.cache_bytes <= machine.cache_bytes
    assert capacity.max_num_seqs == 3


def test_a_cache_that_holds_no_full_sequence_is_refused() -> None:
    with pytest.raises(BadInput, match=r"--kv-cache-memory: 1\.00 is not at least 5\.4"):
        H200.capacity(max_num_seqs=1, prefill_tokens=1024, cache_gib=1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": []}, r"points: \[\] is not a list with something in it"),
        ({"points": [[1, 0, 0]]}, r"points: \[1, 0, 0\], number 0, is not three whole numbers"),
        ({"points": [[1, 0, 0, -1]]}, r"points: \[1, 0, 0, -1\], number 0, is not .* above 0"),
        ({"points": [[1, 0, 0, 1]] * 2}, r"number 1, is there twice"),
        ({"points": [[1, 0, 0, 1], [1, 9, 0, 1]]}, r"points: canvases \[1\] are not two"),
        ({"points": [[1, 0, 0, 1], [2, 0, 0, 1]]}, r"points: causal rows \[0\] are not two"),
        (
            {"points": [[1, 0, 0, 1], [2, 0, 0, 1], [1, 9, 0, 1]]},
            r"points: no point has canvases 2, causal rows 9, context 0",
        ),
        ({"canvas_tokens": 0}, r"canvas_tokens: 0 is not a whole number from 1 to 65536"),
        ({"cache_gib": "much"}, r'cache_gib: "much" is not a number above 0'),
        ({"bytes_per_token": {"half": 1}}, r"bytes_per_token: half: is not a window"),
        ({"bytes_per_token": {}}, r"bytes_per_token: {} is not an object with one window"),
        ({"speed": 7}, r"speed: is unknown; there may be name"),
        ({"name": ""}, r'name: "" is not a text'),
    ],
)
def test_a_file_that_holds_none_is_refused_by_field_value_and_bound(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "card.json"
    path.write_text(json.dumps(FILE | change))
    with pytest.raises(BadInput, match=message) as refusal:
        load(path)
    assert str(refusal.value).startswith(f"{path}: ")
    assert "\n" not in str(refusal.value)
