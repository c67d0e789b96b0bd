"""What of a template's canvases is text."""

from __future__ import annotations

import pytest

from palimpsest.engine.commands import CanvasPlan
from palimpsest.engine.filling import Filling

END, PAD = 1, 0


def filling(length: int, *pinned: int) -> Filling:
    plan = CanvasPlan(pinned=tuple((position, 9) for position in pinned), template_length=length)
    return Filling(plan, fillers=[END, PAD])


def test_literals_are_text_whatever_they_are() -> None:
    assert filling(3, 0, 1, 2).read([END, PAD, 9]) == [0, 1, 2]


def test_a_gap_is_text_up_to_its_first_filler() -> None:
    assert filling(6, 5).read([7, 8, END, 7, PAD, 9]) == [0, 1, 5]


def test_each_gap_ends_by_itself() -> None:
    assert filling(6, 2, 3).read([7, END, 9, 9, 8, PAD]) == [0, 2, 3, 4]


def test_what_lies_behind_the_template_is_not_text() -> None:
    reader = filling(2, 1)
    assert reader.read([7, 9, 8, 8]) == [0, 1]
    assert reader.is_whole


@pytest.mark.parametrize("cut", range(1, 8))
def test_a_template_over_two_canvases_reads_as_in_one(cut: int) -> None:
    tokens = [7, PAD, 7, 9, 9, 8, END, 8]
    reader = filling(8, 3, 4)
    whole = reader.read(tokens)
    parts = filling(8, 3, 4)
    first = parts.read(tokens[:cut])
    assert not parts.is_whole
    assert first + [cut + place for place in parts.read(tokens[cut:])] == whole
    assert parts.is_whole


def test_without_a_template_there_is_nothing_to_read() -> None:
    with pytest.raises(ValueError, match="no template"):
        Filling(CanvasPlan(), fillers=[END])
