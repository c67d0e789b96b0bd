"""Cases of the experts: who goes where, and both products, for one canvas and for more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from palimpsest.kernels.cases.case import Case, Make, Sizes
from palimpsest.kernels.fused.expert_down import expert_down, expert_down_reference
from palimpsest.kernels.fused.expert_down_low import expert_down_low
from palimpsest.kernels.fused.expert_gate_up import expert_gate_up, expert_gate_up_reference
from palimpsest.kernels.fused.expert_gate_up_low import expert_gate_up_low
from palimpsest.kernels.fused.expert_rows import ExpertRows, expert_rows
from palimpsest.kernels.fused.rounding import Rounded
from palimpsest.kernels.fused.routing import routing, routing_reference
from palimpsest.kernels.lowbit import UNITS_OF_A_GROUP, Bits, LowBit, quantise_low
from palimpsest.kernels.quantise import GROUP
from palimpsest.kernels.shapes import ExpertIds

CANVASES = (1, 4, 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What weights are stored in."""

    suffix: str
    bits: int
    """Of a weight, without its share of scales."""
    low: Bits | None = None

    @property
    def quantised(self) -> bool:
        """Whether products are of eight-bit numbers."""
        return self.suffix != ""

    def weight_bytes(self, count: int, *, gated: bool) -> int:
        """Of `count` weights; in few bits with their groups' scales, in 16 bits."""
        columns = GROUP if gated else UNITS_OF_A_GROUP * GROUP
        scales = 0 if self.low is None else count // columns * 16
        return (count * self.bits + scales) // 8

    def weights(self, make: Make, *shape: int, gated: bool) -> Rounded | LowBit:
        """Such that outputs are about one."""
        if self.low is None:
            return make.rounded(*shape, quantised=self.quantised, scale=shape[-1] ** -0.5)
        return quantise_low(
            make.numbers(*shape, scale=shape[-1] ** -0.5), bits=self.low, gated=gated
        )


IN_EIGHT_BITS = (
    Stored(suffix=" e4m3", bits=8),
    Stored(suffix=" w6a8", bits=6, low=6),
    Stored(suffix=" w4a8", bits=4, low=4),
)


def cases(sizes: Sizes, *, itemsize: int) -> Iterator[Case]:
    yield _routing(sizes, itemsize)
    yield _lists(sizes)
    for canvases in CANVASES:
        of_pass = replace(sizes, rows=canvases * sizes.rows)
        for stored in (*IN_EIGHT_BITS, Stored(suffix="", bits=8 * itemsize)):
            width = 1 if stored.quantised else itemsize
            yield _gate_up(of_pass, width, stored)
            yield _down(of_pass, width, itemsize, stored)


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


def _gate_up(sizes: Sizes, width: int, stored: Stored) -> Case:
    rows, hidden, inner = sizes.rows, sizes.hidden, sizes.expert_width
    slots = rows * sizes.experts_per_row

    def inputs(make: Make) -> tuple[object, ...]:
        x = make.rounded(rows, hidden, quantised=stored.quantised)
        weights = stored.weights(make, sizes.experts, 2 * inner, hidden, gated=True)
        ids = _ids(make, sizes)
        return x, weights, ids, _rows_of(ids, sizes)

    settings = {"experts_per_row": sizes.experts_per_row}
    launch = expert_gate_up if stored.low is None else expert_gate_up_low
    return Case(
        name=f"expert gate and up, {rows} rows{stored.suffix}",
        inputs=inputs,
        run=lambda given: launch(*given[:2], lists=given[3], **settings),
        reference=lambda given: expert_gate_up_reference(*given[:2], ids=given[2]),
        bytes=stored.weight_bytes(sizes.experts * 2 * inner * hidden, gated=True)
        + (rows * hidden + slots * inner) * width,
        flops=4 * slots * inner * hidden,
        quantised=stored.quantised,
        multiplies=True,
    )


def _down(sizes: Sizes, width: int, itemsize: int, stored: Stored) -> Case:
    rows, hidden, inner = sizes.rows, sizes.hidden, sizes.expert_width
    slots = rows * sizes.experts_per_row

    def inputs(make: Make) -> tuple[object, ...]:
        a = Rounded.grouped(make.numbers(slots, inner), quantised=stored.quantised)
        weights = stored.weights(make, sizes.experts, hidden, inner, gated=False)
        ids = _ids(make, sizes)
        return a, weights, ids, _rows_of(ids, sizes), make.dtype

    launch = expert_down if stored.low is None else expert_down_low
    return Case(
        name=f"expert down, {rows} rows{stored.suffix}",
        inputs=inputs,
        run=lambda given: launch(*given[:2], lists=given[3], dtype=given[4]),
        reference=lambda given: expert_down_reference(*given[:2], ids=given[2], dtype=given[4]),
        bytes=stored.weight_bytes(sizes.experts * hidden * inner, gated=False)
        + slots * inner * width
        + slots * hidden * itemsize,
        flops=2 * slots * inner * hidden,
        quantised=stored.quantised,
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
