"""Cases of the experts: who goes where, and both products, for one canvas and for more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from palimpsest.kernels.cases.case import Case, Make, Sizes
from palimpsest.kernels.fused.expert_down import expert_down, expert_down_reference
from palimpsest.kernels.fused.expert_gate_up import expert_gate_up, expert_gate_up_reference
from palimpsest.kernels.fused.expert_rows import ExpertRows, expert_rows
from palimpsest.kernels.fused.rounding import Rounded
from palimpsest.kernels.fused.routing import routing, routing_reference
from palimpsest.kernels.shapes import ExpertIds

CANVASES = (1, 4, 16)


def cases(sizes: Sizes, *, itemsize: int) -> Iterator[Case]:
    yield _routing(sizes, itemsize)
    yield _lists(sizes)
    for canvases in CANVASES:
        of_pass = replace(sizes, rows=canvases * sizes.rows)
        for quantised in (True, False):
            yield _gate_up(of_pass, 1 if quantised else itemsize, quantised)
            yield _down(of_pass, 1 if quantised else itemsize, itemsize, quantised)


def _routing(sizes: Sizes, itemsize: int) -> Case:
    rows, hidden, experts = sizes.rows, sizes.hidden, sizes.experts

    def inputs(make: Make) -> dict[str, object]:
        return {
            "x": make.numbers(rows, hidden, scale=hidden**-0.5),
            "projection": make.numbers(experts, hidden),
            "per_expert_scale": make.numbers(experts),
            "experts_per_row": sizes.experts_per_row,
        }

    return Case(
        name="routing",
        inputs=inputs,
        run=lambda given: routing(**given),
        reference=lambda given: routing_reference(**given),
        bytes=(rows + experts) * hidden * itemsize + 8 * rows * sizes.experts_per_row,
        flops=2 * rows * hidden * experts,
        multiplies=True,
    )


def _lists(sizes: Sizes) -> Case:
    return Case(
        name="expert_rows",
        inputs=lambda make: _ids(make, sizes),
        run=lambda ids: expert_rows(ids, num_experts=sizes.experts),
        reference=None,  # the products below are wrong where the lists are
        bytes=8 * sizes.rows * sizes.experts_per_row,
        flops=0,
    )


def _gate_up(sizes: Sizes, width: int, quantised: bool) -> Case:
    rows, hidden, inner = sizes.rows, sizes.hidden, sizes.expert_width
    slots = rows * sizes.experts_per_row

    def inputs(make: Make) -> tuple[object, ...]:
        x = make.rounded(rows, hidden, quantised=quantised)
        shape = (sizes.experts, 2 * inner, hidden)
        weights = make.rounded(*shape, quantised=quantised, scale=hidden**-0.5)
        ids = _ids(make, sizes)
        return x, weights, ids, _rows_of(ids, sizes)

    settings = {"experts_per_row": sizes.experts_per_row}
    return Case(
        name=f"expert gate and up, {rows} rows{' e4m3' if quantised else ''}",
        inputs=inputs,
        run=lambda given: expert_gate_up(*given[:2], lists=given[3], **settings),
        reference=lambda given: expert_gate_up_reference(*given[:2], ids=given[2]),
        bytes=(sizes.experts * 2 * inner * hidden + rows * hidden + slots * inner) * width,
        flops=4 * slots * inner * hidden,
        quantised=quantised,
        multiplies=True,
    )


def _down(sizes: Sizes, width: int, itemsize: int, quantised: bool) -> Case:
    rows, hidden, inner = sizes.rows, sizes.hidden, sizes.expert_width
    slots = rows * sizes.experts_per_row

    def inputs(make: Make) -> tuple[object, ...]:
        a = Rounded.grouped(make.numbers(slots, inner), quantised=quantised)
        shape = (sizes.experts, hidden, inner)
        weights = make.rounded(*shape, quantised=quantised, scale=inner**-0.5)
        ids = _ids(make, sizes)
        return a, weights, ids, _rows_of(ids, sizes), make.dtype

    return Case(
        name=f"expert down, {rows} rows{' e4m3' if quantised else ''}",
        inputs=inputs,
        run=lambda given: expert_down(*given[:2], lists=given[3], dtype=given[4]),
        reference=lambda given: expert_down_reference(*given[:2], ids=given[2], dtype=given[4]),
        bytes=(sizes.experts * hidden * inner + slots * inner) * width + slots * hidden * itemsize,
        flops=2 * slots * inner * hidden,
        quantised=quantised,
        multiplies=True,
    )


def _ids(make: Make, sizes: Sizes) -> ExpertIds:
    """Distinct experts for every row, evenly."""
    scores = make.floats(sizes.rows, sizes.experts)
    return scores.topk(sizes.experts_per_row).indices.int()


def _rows_of(ids: ExpertIds, sizes: Sizes) -> ExpertRows:
    if ids.is_meta:
        room = ids.new_empty(sizes.experts, sizes.rows)
        return ExpertRows(indices=room, counts=ids.new_empty(sizes.experts))
    return expert_rows(ids, num_experts=sizes.experts)
