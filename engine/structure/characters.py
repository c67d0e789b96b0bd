"""Sets of characters as ranges of code points, and as the bytes that UTF-8 writes them in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

Range = tuple[int, int]
"""First and last, both in it."""

SURROGATES: Range = (0xD800, 0xDFFF)
"""Code points that no text holds."""
LAST = 0x10FFFF
_LENGTHS: tuple[Range, ...] = ((0x0, 0x7F), (0x80, 0x7FF), (0x800, 0xFFFF), (0x10000, LAST))
"""Code points that are written in one byte, two, three and four."""


def union(ranges: Iterable[Range]) -> list[Range]:
    """The same characters in ascending ranges that do not touch, surrogates left out."""
    joined: list[Range] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = joined[-1][0], max(joined[-1][1], last)
        else:
            joined.append((first, last))
    low, high = SURROGATES
    halves = (half for a, b in joined for half in ((a, min(b, low - 1)), (max(a, high + 1), b)))
    return [(a, b) for a, b in halves if a <= b]


def complement(ranges: Iterable[Range]) -> list[Range]:
    """All other characters."""
    edges = [-1, *(edge for piece in union(ranges) for edge in piece), LAST + 1]
    gaps = ((a + 1, b - 1) for a, b in zip(edges[::2], edges[1::2], strict=True))
    return union((a, b) for a, b in gaps if a <= b)


def byte_ranges(first: int, last: int) -> Iterator[list[Range]]:
    """The characters from `first` to `last` as sequences of ranges of bytes: each sequence stands
    for all texts that take a byte of each of its ranges.
    """
    for low, high in _LENGTHS:
        begin, end = max(first, low), min(last, high)
        if begin <= end:
            yield from _of_one_length(begin, end, len(chr(low).encode()))


def _of_one_length(first: int, last: int, length: int) -> Iterator[list[Range]]:
    """All of them are written in `length` bytes."""
    for below in range(6, 6 * length, 6):
        # split where the last bytes do not run through all of their values
        block = 1 << below
        if first // block != last // block:
            if first % block:
                yield from _of_one_length(first, first | block - 1, length)
                yield from _of_one_length((first | block - 1) + 1, last, length)
                return
            if (last + 1) % block:
                yield from _of_one_length(first, last // block * block - 1, length)
                yield from _of_one_length(last // block * block, last, length)
                return
    yield list(zip(chr(first).encode(), chr(last).encode(), strict=True))
