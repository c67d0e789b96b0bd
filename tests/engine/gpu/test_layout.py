"""Where segments lie in the rows of a pass."""

from __future__ import annotations

import pytest
import torch
from laid_out import canvas_after, causal, laid_out

from palimpsest.engine.gpu.layout import Part, PassLayout, PassShape
from palimpsest.engine.page_table import PageTable
from palimpsest.engine.pages import PAGE_TOKENS, Pages, Window
from palimpsest.kernels.fused.segment_table import TILE_ROWS

WINDOWS: list[Window] = [None, 100]
"""The list of pages that is sent in part must not be the one that stands first here."""
CANVAS = 70


def mixed() -> list[Part]:
    """A chunk of a long prompt, which has forgotten its first pages, another's end and canvas."""
    pages = Pages(dict.fromkeys(WINDOWS, 40))
    long, short = PageTable(pages), PageTable(pages)
    for _ in range(4):
        long.extend(100)
        long.advance(100, [bytes([i]) for i in range(long.stored // PAGE_TOKENS + 2)])
    return [
        causal(long, 130, seed=1),
        causal(short, 5, seed=2),
        canvas_after(short, CANVAS, behind=5),
    ]


def shape(parts: list[Part], *, more_rows: int = 0, more_canvases: int = 0) -> PassShape:
    least = PassShape.of(parts, CANVAS)
    return PassShape(
        rows=least.rows + more_rows,
        canvases=least.canvases + more_canvases,
        canvas_length=CANVAS,
    )


@pytest.fixture
def parts() -> list[Part]:
    return mixed()


@pytest.fixture
def layout(parts: list[Part]) -> PassLayout:
    """With more room than is needed, where other numbers stood."""
    roomy = shape(parts, more_rows=TILE_ROWS, more_canvases=1)
    return laid_out(parts, roomy, WINDOWS, stale=True)


def test_segments_begin_with_a_tile_and_the_rows_between_are_dead(
    parts: list[Part], layout: PassLayout
) -> None:
    first, last = layout.tables[None].first_row[:3].tolist(), len(layout.token_ids)

    assert first == [0, 192, 256]
    assert last == 256 + 128 + 64
    assert layout.tables[None].tile_segment.tolist() == [0, 0, 0, 1, 2, 2, -1]
    alive = layout.alive.nonzero().flatten().tolist()
    assert alive == [*range(130), *range(192, 197), *range(256, 256 + CANVAS)]
    dead = ~layout.alive
    assert layout.canvas_rows[dead].eq(-1).all()
    assert all(layout.slots[window][dead].eq(-1).all() for window in WINDOWS)


def test_rows_hold_their_tokens_positions_and_places_among_canvases(
    parts: list[Part], layout: PassLayout
) -> None:
    for part, first in zip(parts, layout.tables[None].first_row.tolist(), strict=False):
        rows = slice(first, first + part.length)
        assert layout.positions[rows].tolist() == list(range(part.start, part.end))
        if part.token_ids is None:
            assert layout.canvas_rows[rows].tolist() == list(range(CANVAS))
            assert layout.rows_of_canvases[:CANVAS].tolist() == list(range(first, rows.stop))
        else:
            assert layout.token_ids[rows].tolist() == part.token_ids
            assert layout.canvas_rows[rows].eq(-1).all()
    assert layout.rows_of_canvases[CANVAS:].tolist() == [0] * CANVAS


@pytest.mark.parametrize("window", WINDOWS)
def test_pages_are_found_by_position_and_written_by_causal_rows_alone(
    parts: list[Part], layout: PassLayout, window: Window
) -> None:
    table = layout.tables[window]
    for index, part in enumerate(parts):
        seen = range(0 if window is None else max(0, part.start - window + 1), part.start)
        offset = int(table.page_offset[index])
        found = [int(table.pages[offset + x // PAGE_TOKENS]) for x in seen]
        assert found == [part.table.page_of(window, x) for x in seen]
        first = int(table.first_row[index])
        slots = layout.slots[window][first : first + part.length]
        held = [-1] * part.length
        if part.token_ids is not None:
            positions = range(part.start, part.end)
            pages = (part.table.page_of(window, x) for x in positions)
            held = [
                p * PAGE_TOKENS + x % PAGE_TOKENS for p, x in zip(pages, positions, strict=True)
            ]
        assert slots.tolist() == held


def test_room_for_nothing_is_dead_everywhere(parts: list[Part]) -> None:
    layout = laid_out([], shape(parts), WINDOWS, stale=True)

    assert not layout.alive.any()
    assert torch.equal(layout.tables[None].tile_segment, torch.full((6,), -1).int())


@pytest.mark.parametrize(
    ("canvases", "other_rows", "wanted"),
    [
        (0, 64, (0, 64)),
        (1, 0, (1, 0)),
        (5, 64, (5, 64)),
        (9, 192, (10, 256)),
        (33, 1000 * 64, (40, 1024 * 64)),
        (64, 0, (64, 0)),
    ],
)
def test_shapes_are_rounded_up_so_that_few_graphs_serve_all(
    canvases: int, other_rows: int, wanted: tuple[int, int]
) -> None:
    exact = PassShape(rows=canvases * 256 + other_rows, canvases=canvases, canvas_length=256)

    rounded = exact.rounded()

    assert (rounded.canvases, rounded.rows - rounded.canvases * 256) == wanted


def test_parts_are_equal_as_long_as_their_pages_are_the_same() -> None:
    pages = Pages(dict.fromkeys(WINDOWS, 40))
    table = PageTable(pages)
    table.extend(CANVAS)
    table.advance(CANVAS, [b"1"])
    before = canvas_after(table, CANVAS)

    assert canvas_after(table, CANVAS) == before
    table.release()
    table.extend(CANVAS)
    table.advance(CANVAS, [b"1"])
    assert canvas_after(table, CANVAS) != before, "it lies in other pages"
