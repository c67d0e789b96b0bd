"""Pictures in a prompt as ranges of tokens that are read in one pass: each sees all of its own.

Numbers alone, no tensors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from palimpsest.engine.commands import Picture
from palimpsest.engine.pages import PAGE_TOKENS


def page_extras(pictures: Iterable[Picture]) -> Mapping[int, bytes]:
    """What pictures add to the keys of the pages that they touch, by index of the page.

    All of a picture counts, also what lies in later pages: keys and values depend on it.
    """
    extras: dict[int, bytes] = {}
    for picture in pictures:
        for page in range(picture.start // PAGE_TOKENS, -(-picture.end // PAGE_TOKENS)):
            place = picture.start.to_bytes(4, "little")
            extras[page] = extras.get(page, b"") + place + picture.key
    return extras


def uncut(pictures: Iterable[Picture], place: int) -> int:
    """The last place up to `place` that no picture lies across."""
    starts = [picture.start for picture in pictures if picture.start < place < picture.end]
    return min(starts, default=place)


def end_of_next(pictures: Iterable[Picture], place: int) -> int:
    """Where the picture that begins at `place` ends; `place` itself if none does."""
    return next((picture.end for picture in pictures if picture.start == place), place)


def within(pictures: Sequence[Picture], start: int, end: int) -> list[Picture]:
    """Those that lie between two places."""
    return [picture for picture in pictures if start <= picture.start and picture.end <= end]


def longest(pictures: Iterable[Picture]) -> int:
    """Tokens of the longest; 0 if there is none."""
    return max((picture.end - picture.start for picture in pictures), default=0)


def by_picture(
    pictures: Sequence[Picture], start: int, end: int
) -> Iterator[tuple[int, int, bytes | None]]:
    """The places from start to end - 1 in pieces: begin, end, and the key of the picture it is."""
    for picture in within(pictures, start, end):
        if start < picture.start:
            yield start, picture.start, None
        yield picture.start, picture.end, picture.key
        start = picture.end
    if start < end:
        yield start, end, None
