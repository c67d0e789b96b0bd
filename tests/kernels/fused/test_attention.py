from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from palimpsest.kernels.fused.attention import attention, attention_reference
from palimpsest.kernels.fused.heads import KeyValueRows
from palimpsest.kernels.fused.rounding import Rounded
from palimpsest.kernels.fused.segment_table import (
    CANVAS,
    CAUSAL,
    PAGE_TOKENS,
    PICTURE,
    TILE_ROWS,
    SegmentTable,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    sequence: int
    start: int
    rows: int
    kind: int


MIXED = (
    Segment(sequence=0, start=203, rows=9, kind=CANVAS),
    Segment(sequence=1, start=0, rows=7, kind=CAUSAL),
    Segment(sequence=2, start=130, rows=66, kind=CAUSAL),
    Segment(sequence=2, start=196, rows=5, kind=CANVAS),
    Segment(sequence=3, start=60, rows=70, kind=PICTURE),
    Segment(sequence=3, start=130, rows=4, kind=CAUSAL),
)
"""Canvases, prefills, a commit with the next canvas of its sequence, a picture and what follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    heads: int
    groups: int
    width: int
    window: int | None


KINDS = pytest.mark.parametrize("kind", [CANVAS, CAUSAL, PICTURE])
PAIRS = Shape(heads=4, groups=2, width=16, window=None)
PAIRS_IN_WINDOW = Shape(heads=4, groups=2, width=32, window=50)
EIGHTS = Shape(heads=16, groups=2, width=16, window=None)
EIGHTS_IN_WINDOW = Shape(heads=8, groups=1, width=16, window=129)
SLIDING = Shape(heads=16, groups=8, width=256, window=1024)
FULL = Shape(heads=16, groups=2, width=512, window=None)


class Pass:
    """Random segments, pages in random order, and NaN wherever there is nothing to be read."""

    def __init__(self, segments: tuple[Segment, ...], shape: Shape, dtype: torch.dtype) -> None:
        self.segments, self.shape = segments, shape
        self.generator = torch.Generator().manual_seed(shape.width)
        self.table = self._table()
        self.rows = TILE_ROWS * len(self.table.tile_segment)
        self.query = self._random(self.rows, shape.heads).to(dtype)
        self.own = self._key_values(self.rows, dtype)
        self.cache = self._key_values(PAGE_TOKENS * self.count, dtype)
        live = torch.zeros(self.rows, dtype=torch.bool)
        cached = torch.zeros(PAGE_TOKENS * self.count, dtype=torch.bool)
        for index, segment in enumerate(segments):
            rows = self.rows_of(index)
            live[rows] = True
            if segment.kind != CANVAS:
                # as `heads` does: later segments read this one's rows in the cache
                slots = self._slots(index, range(segment.start, segment.start + segment.rows))
                self.cache.keys[slots] = self.own.keys[rows]
                self.cache.values[slots] = self.own.values[rows]
                cached[slots] = True
            cached[self._slots(index, range(self._first(segment), segment.start))] = True
        self.query[~live] = torch.nan
        self.own.keys[~live] = torch.nan
        self.cache.keys[~cached] = torch.nan

    def rows_of(self, index: int) -> slice:
        first = int(self.table.first_row[index])
        return slice(first, first + self.segments[index].rows)

    def attended(self, *, quantised: bool = False, tma: bool = True) -> Rounded:
        return attention(
            self.query,
            self.own,
            self.cache,
            self.table,
            window=self.shape.window,
            quantised=quantised,
            tma=tma,
        )

    def wanted(self, *, quantised: bool = False) -> Rounded:
        """From the same numbers, in fp32."""
        return attention_reference(
            self.query.float(),
            KeyValueRows(keys=self.own.keys.float(), values=self.own.values.float()),
            KeyValueRows(keys=self.cache.keys.float(), values=self.cache.values.float()),
            self.table,
            window=self.shape.window,
            quantised=quantised,
        )

    def alone(self, index: int) -> Pass:
        """The same numbers with one segment only, in the first rows of a smaller pass."""
        other = object.__new__(Pass)
        other.segments, other.shape = (self.segments[index],), self.shape
        table = self.table
        tiles = table.tile_segment == index
        rows = tiles.repeat_interleave(TILE_ROWS)
        one = slice(index, index + 1)
        other.table = SegmentTable(
            tile_segment=torch.zeros(int(tiles.sum()), dtype=torch.int32),
            first_row=torch.zeros(1, dtype=torch.int32),
            rows=table.rows[one],
            start=table.start[one],
            kind=table.kind[one],
            page_offset=table.page_offset[one],
            pages=table.pages,
        )
        other.query, other.cache = self.query[rows], self.cache
        other.own = KeyValueRows(keys=self.own.keys[rows], values=self.own.values[rows])
        return other

    def _first(self, segment: Segment) -> int:
        window = self.shape.window
        return 0 if window is None else max(0, segment.start - (window - 1))

    def _table(self) -> SegmentTable:
        """With a dead tile after the first segment."""
        tiles: list[int] = []
        first_rows: list[int] = []
        for index, segment in enumerate(self.segments):
            first_rows.append(TILE_ROWS * len(tiles))
            tiles += [index] * -(-segment.rows // TILE_ROWS) + [-1] * (index == 0)
        ends = [s.start + s.rows for s in self.segments]
        longest = -(-max(ends) // PAGE_TOKENS)
        sequences = max(s.sequence for s in self.segments) + 1
        self.count = sequences * longest
        owned = torch.randperm(self.count, generator=self.generator).view(sequences, longest)
        pages, offsets = [], []
        for segment, end in zip(self.segments, ends, strict=True):
            first = self._first(segment) // PAGE_TOKENS
            offsets.append(len(pages) - first)
            pages += owned[segment.sequence, first : -(-end // PAGE_TOKENS)].tolist()
            pages += [1 << 20]  # faults if it is read
        numbers = {
            "tile_segment": tiles,
            "first_row": first_rows,
            "rows": [s.rows for s in self.segments],
            "start": [s.start for s in self.segments],
            "kind": [s.kind for s in self.segments],
            "page_offset": offsets,
            "pages": pages,
        }
        tensors = {name: torch.tensor(n, dtype=torch.int32) for name, n in numbers.items()}
        return SegmentTable(**tensors)

    def _slots(self, index: int, positions: range) -> Tensor:
        position = torch.tensor(positions, dtype=torch.long)
        page = self.table.pages[self.table.page_offset[index] + position // PAGE_TOKENS]
        return page.long() * PAGE_TOKENS + position % PAGE_TOKENS

    def _random(self, rows: int, heads: int) -> Tensor:
        # scores have a deviation of 2, so weights differ but no row sees one key alone
        numbers = torch.randn(rows, heads, self.shape.width, generator=self.generator)
        return numbers * (2 / self.shape.width**0.5) ** 0.5

    def _key_values(self, rows: int, dtype: torch.dtype) -> KeyValueRows:
        keys, values = (self._random(rows, self.shape.groups).to(dtype) for _ in range(2))
        return KeyValueRows(keys=keys, values=values)


def assert_close(made: Rounded, wanted: Rounded, dtype: torch.dtype) -> None:
    if dtype == torch.float32:
        torch.testing.assert_close(made.exact(), wanted.exact(), rtol=1e-5, atol=1e-6)
    else:
        # weights, partial results and the result are rounded to 2^-11 of themselves
        torch.testing.assert_close(made.exact(), wanted.exact(), rtol=2e-3, atol=5e-4)


@pytest.mark.parametrize(
    ("shape", "tma"),
    [
        (PAIRS, True),
        (PAIRS, False),
        (PAIRS_IN_WINDOW, True),
        (EIGHTS, True),
        (EIGHTS_IN_WINDOW, True),
        (EIGHTS_IN_WINDOW, False),
    ],
    ids=str,
)
def test_mixed_passes_attend_as_defined(shape: Shape, tma: bool) -> None:
    mixed = Pass(MIXED, shape, torch.float32)
    # rows of no segment are zeros in both
    assert_close(mixed.attended(tma=tma), mixed.wanted(), torch.float32)


def test_mixed_passes_attend_as_defined_in_half_precision() -> None:
    mixed = Pass(MIXED, PAIRS_IN_WINDOW, torch.float16)
    assert_close(mixed.attended(), mixed.wanted(), torch.float16)


@KINDS
@pytest.mark.parametrize("tma", [True, False])
@pytest.mark.parametrize("shape", [SLIDING, FULL], ids=str)
def test_the_released_sizes_attend_as_defined(shape: Shape, tma: bool, kind: int) -> None:
    # longer than the window
    segment = Segment(sequence=0, start=1091, rows=5, kind=kind)
    one = Pass((segment,), shape, torch.float16)
    assert_close(one.attended(tma=tma), one.wanted(), torch.float16)


@pytest.mark.parametrize("shape", [EIGHTS, EIGHTS_IN_WINDOW], ids=str)
def test_segments_begin_anywhere(shape: Shape) -> None:
    segments = tuple(
        Segment(sequence=sequence, start=start, rows=3, kind=sequence % 3)
        for sequence, start in enumerate([0, 1, 1, 63, 64, 65, 320, 320])
    )
    everywhere = Pass(segments, shape, torch.float32)
    assert_close(everywhere.attended(), everywhere.wanted(), torch.float32)


@KINDS
def test_segments_may_fill_their_tiles(kind: int) -> None:
    full = Pass((Segment(sequence=0, start=40, rows=64, kind=kind),), PAIRS, torch.float32)
    assert_close(full.attended(), full.wanted(), torch.float32)


def test_a_segment_alone_equals_the_segment_in_company() -> None:
    mixed = Pass(MIXED, PAIRS_IN_WINDOW, torch.float16)
    together = mixed.attended().values
    for index, segment in enumerate(MIXED):
        alone = mixed.alone(index).attended().values
        assert torch.equal(alone[: segment.rows], together[mixed.rows_of(index)])


def test_rows_are_rounded_to_eight_bits() -> None:
    segment = Segment(sequence=0, start=20, rows=9, kind=CANVAS)
    one = Pass((segment,), PAIRS, torch.float32)
    made, wanted = one.attended(quantised=True), one.wanted(quantised=True)
    assert made.values.dtype == torch.float8_e4m3fn
    torch.testing.assert_close(made.scales, wanted.scales)
    # another last bit before rounding may end a step, an eighth, away, but seldom does
    codes, wanted_codes = made.values.float(), wanted.values.float()
    torch.testing.assert_close(codes, wanted_codes, rtol=0.126, atol=0.01)
    assert (codes == wanted_codes).float().mean() > 0.99


def test_a_broken_sequence_breaks_no_other() -> None:
    pair = (
        Segment(sequence=0, start=70, rows=3, kind=CANVAS),
        Segment(sequence=1, start=70, rows=3, kind=CANVAS),
    )
    both = Pass(pair, PAIRS, torch.float32)
    wanted = both.wanted()
    both.own.keys[both.rows_of(0)] = torch.nan
    made = both.attended()
    assert made.values[both.rows_of(0)].isnan().all()
    rows = both.rows_of(1)
    assert_close(
        Rounded(made.values[rows], None), Rounded(wanted.values[rows], None), torch.float32
    )
