"""Cases of attention: what is read off the projected rows, and what the rows see."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from palimpsest.kernels.cases.case import AttentionKind, Case, Make, Sizes
from palimpsest.kernels.fused.attention import attention, attention_reference
from palimpsest.kernels.fused.heads import (
    CacheSlots,
    HeadNorms,
    KeyValueRows,
    RotationTables,
    heads,
    heads_reference,
)
from palimpsest.kernels.fused.segment_table import CANVAS, PAGE_TOKENS, TILE_ROWS, SegmentTable


def cases(sizes: Sizes, *, itemsize: int) -> Iterator[Case]:
    for name, kind in (("sliding", sizes.sliding), ("full", sizes.full)):
        yield _heads(name, kind, sizes, itemsize)
        for quantised in (True, False):
            yield _attention(name, kind, sizes, itemsize, quantised)


def _heads(name: str, kind: AttentionKind, sizes: Sizes, itemsize: int) -> Case:
    rows, context = sizes.rows, sizes.context
    parts = sizes.heads + (1 if kind.shared else 2) * kind.groups

    def inputs(make: Make) -> tuple[object, ...]:
        query, key = make.numbers(kind.head), make.numbers(kind.head)
        return (
            make.numbers(rows, parts * kind.head),
            HeadNorms(query=query, key=key, epsilon=sizes.epsilon),
            RotationTables(
                cosine=_halves(make, rows, kind.head), sine=_halves(make, rows, kind.head)
            ),
            CacheSlots(
                cache=_rows(make, context + rows, kind),
                slots=make.listed(*range(context, context + rows)),
            ),
        )

    def settings(stays: CacheSlots) -> dict[str, object]:
        return {"num_heads": sizes.heads, "num_groups": kind.groups, "stays": stays}

    # both return what stays too, as they write it in place
    return Case(
        name=f"heads {name}",
        inputs=inputs,
        run=lambda given: (heads(*given[:3], **settings(given[3])), given[3].cache),
        reference=lambda given: (heads_reference(*given[:3], **settings(given[3])), given[3].cache),
        bytes=rows * kind.head * itemsize * (parts + sizes.heads + 4 * kind.groups),
        flops=8 * rows * kind.head * (sizes.heads + 2 * kind.groups),
    )


def _attention(
    name: str, kind: AttentionKind, sizes: Sizes, itemsize: int, quantised: bool
) -> Case:
    rows, context = sizes.rows, sizes.context
    seen = min(context, context if kind.window is None else kind.window - 1)

    def inputs(make: Make) -> tuple[object, ...]:
        table = SegmentTable(
            tile_segment=make.listed(*[0] * (rows // TILE_ROWS)),
            first_row=make.listed(0),
            rows=make.listed(rows),
            start=make.listed(context),
            kind=make.listed(CANVAS),
            page_offset=make.listed(0),
            pages=make.listed(*range(context // PAGE_TOKENS)),
        )
        # keys as large as normalised ones give sharp scores; smaller ones show every key
        query = make.numbers(rows, sizes.heads, kind.head, scale=kind.head**-0.5)
        return query, _rows(make, rows, kind), _rows(make, context, kind), table

    settings = {"window": kind.window, "quantised": quantised}
    columns = sizes.heads * kind.head
    return Case(
        name=f"attention {name}{' e4m3' if quantised else ''}",
        inputs=inputs,
        run=lambda given: attention(*given, **settings),
        reference=lambda given: attention_reference(*given, **settings),
        bytes=itemsize * 2 * (seen + rows) * kind.groups * kind.head
        + rows * columns * (itemsize + (1 if quantised else itemsize)),
        flops=4 * rows * (seen + rows) * columns,
        multiplies=True,
    )


def _halves(make: Make, rows: int, width: int) -> Tensor:
    return make.floats(rows, width // 2).repeat(1, 2).to(make.dtype)


def _rows(make: Make, rows: int, kind: AttentionKind) -> KeyValueRows:
    keys, values = (make.numbers(rows, kind.groups, kind.head) for _ in range(2))
    return KeyValueRows(keys=keys, values=values)
