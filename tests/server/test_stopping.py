"""Stop sequences in text that arrives in pieces: any pieces, one cut."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palimpsest.engine.api import InvalidRequest
from palimpsest.server.stopping import StopFinder, check_sequences

# few letters, so that sequences begin, overlap and hold one another all the time
words = st.text("ab", min_size=1, max_size=5)
pieces = st.lists(st.text("ab", max_size=6), min_size=1, max_size=8)


def passed(finder: StopFinder, pieces: Sequence[str]) -> list[str]:
    """What passes of each piece, up to the one that ends the answer."""
    given = []
    for index, piece in enumerate(pieces):
        given.append(finder.push(piece, final=index == len(pieces) - 1))
        if finder.found is not None:
            break
    return given


def before_first(text: str, sequences: Sequence[str]) -> str:
    places = [text.find(sequence) for sequence in sequences]
    return text[: min((place for place in places if place >= 0), default=len(text))]


@given(pieces, st.lists(words, max_size=4))
def test_text_is_cut_before_the_sequence_that_begins_first_however_it_is_divided(
    pieces: list[str], sequences: list[str]
) -> None:
    finder = StopFinder(sequences)
    text = "".join(pieces)
    assert "".join(passed(finder, pieces)) == before_first(text, sequences)
    assert (finder.found is None) == all(sequence not in text for sequence in sequences)


@given(pieces, st.lists(words, max_size=4))
def test_text_is_held_only_while_it_may_begin_a_sequence(
    pieces: list[str], sequences: list[str]
) -> None:
    finder, text = StopFinder(sequences), ""
    for piece in pieces:
        text += piece
        finder.push(piece, final=False)
        if finder.found is not None:
            return
        held = text[len(text) - finder.held_count :]
        assert not held or any(sequence.startswith(held) for sequence in sequences)


def test_what_might_have_begun_a_sequence_comes_when_it_did_not() -> None:
    finder = StopFinder(["stop"])
    assert finder.push("1 st", final=False) == "1 "
    assert finder.push("ep st", final=False) == "step "
    assert finder.push("o", final=True) == "sto"
    assert finder.found is None


def test_a_sequence_waits_for_one_that_began_before_it_and_may_become_whole() -> None:
    for last, text in (("d", "x"), ("e", "xab")):
        finder = StopFinder(["c", "abcd"])
        assert finder.push("xabc", final=False) == "x"
        assert finder.found is None
        assert "x" + finder.push(last, final=False) == text
        assert finder.found == ("abcd" if last == "d" else "c")


def test_without_sequences_nothing_is_held() -> None:
    finder = StopFinder([])
    assert finder.push("text", final=False) == "text"
    assert finder.draft("draft") == "draft"


def test_a_draft_ends_before_a_sequence_that_begins_in_it_or_before_it() -> None:
    finder = StopFinder(["stop", "end"])
    assert finder.draft("the end") == "the "
    finder.push("st", final=False)
    assert finder.draft("op, and on") == ""
    assert finder.draft("ep") == "ep"
    assert finder.found is None


@pytest.mark.parametrize("sequences", [[], ["x"] * 16, ["é" * 128]])
def test_as_many_and_as_long_sequences_as_allowed_are_taken(sequences: list[str]) -> None:
    check_sequences(sequences)


@pytest.mark.parametrize(
    ("sequences", "complaint"),
    [
        (["x"] * 17, "17 sequences are above 16"),
        (["x", ""], "0 bytes of sequence 1 are outside 1 to 256"),
        (["é" * 129], "258 bytes of sequence 0 are outside 1 to 256"),
    ],
)
def test_sequences_out_of_bounds_are_refused(sequences: list[str], complaint: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_sequences(sequences)
    assert str(caught.value) == f"sampling.stop_sequences: {complaint}"
