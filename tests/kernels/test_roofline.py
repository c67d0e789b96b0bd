"""What a pass has to cost, beside what is known of the released model."""

from __future__ import annotations

import pytest

from palimpsest.kernels.bench import Ceilings
from palimpsest.kernels.roofline import H200, LAUNCHES, shares, table

ACTIVE_AND_ALL_EXPERTS = 25.3e9
"""Weights: 25.2 billion in all, the embedding among them, which a step reads twice."""


@pytest.mark.parametrize(("weights", "width"), [("w8a8", 1), ("plain", 2)])
def test_a_pass_reads_every_weight_at_least_once(weights: str, width: int) -> None:
    rows = list(shares(H200, {}, weights=weights))

    embedding = 262_144 * 2816
    least = (ACTIVE_AND_ALL_EXPERTS - embedding) * width + 2 * embedding * 2
    assert least < sum(row.bytes for row in rows) < 1.1 * least


@pytest.mark.parametrize(("weights", "saved"), [("w6a8", 2), ("w4a8", 4)])
def test_fewer_bits_of_experts_are_as_many_fewer_bytes(weights: str, saved: int) -> None:
    of_down = 30 * 128 * 2816 * 704
    # a scale for 64 weights of gate and up projections, and for 128 of down projections
    of_experts = 2 * of_down * (saved - 1 / 4) + of_down * (saved - 1 / 8)
    least, most = (sum(r.bytes for r in shares(H200, {}, weights=w)) for w in (weights, "w8a8"))
    assert most - least == of_experts / 8


def test_the_least_time_is_that_of_the_scarcer_ceiling() -> None:
    by_memory = Ceilings(copy_bytes_per_s=1.0, bf16_flops=1e30, e4m3_flops=1e30)
    by_products = Ceilings(copy_bytes_per_s=1e30, bf16_flops=1.0, e4m3_flops=1.0)
    for row in shares(by_memory, {}, weights="w8a8"):
        assert row.least_ms == pytest.approx(1e3 * row.bytes)
    for row in shares(by_products, {}, weights="w8a8"):
        assert row.least_ms == pytest.approx(1e3 * row.flops)


def test_measured_times_are_added_up_once_all_are_known() -> None:
    some = {"enter e4m3": 10.0}
    all_of_them = dict.fromkeys(LAUNCHES, 10.0) | dict.fromkeys(
        (f"{name} e4m3" for name in LAUNCHES), 10.0
    )
    launches = sum(LAUNCHES.values())

    rows = table(list(shares(H200, some, weights="w8a8"))).splitlines()
    assert rows[2].startswith("| enter | 1 |")
    assert rows[2].endswith("| 0.010 |")
    assert rows[-1].endswith("|  |")
    complete = table(list(shares(H200, all_of_them, weights="w8a8")))
    assert complete.endswith(f"| {1e-2 * launches:.3f} |")
