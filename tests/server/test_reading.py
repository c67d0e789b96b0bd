"""Canvases of an answer with stop sequences: which tokens, thoughts and calls belong to it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from palimpsest.engine.api import TextCodec, checkpoint_folder
from palimpsest.server.reading import Reader, Reading

THOUGHT = "<|channel>thought\nI think.\n<channel|>"
CALL = '<|tool_call>call:weather{city:<|"|>Oslo<|"|>}<tool_call|>'
UNREADABLE = "<|tool_call>call:weather<tool_call|>"
PROMPT_IDS = (2,)


@pytest.fixture(scope="module")
def codec() -> TextCodec:
    return TextCodec(checkpoint_folder("bundled"))


def reader(codec: TextCodec, *stop_sequences: str) -> Reader:
    return Reader(codec, PROMPT_IDS, stop_sequences=stop_sequences)


def read(reader: Reader, canvases: Sequence[Sequence[int]]) -> list[Reading]:
    """The canvases up to the one that ends the answer."""
    readings = []
    for index, canvas in enumerate(canvases):
        readings.append(reader.push(canvas, final=index == len(canvases) - 1))
        if reader.stop_sequence is not None:
            break
    return readings


def text_of(readings: Sequence[Reading]) -> str:
    return "".join(reading.pieces.text for reading in readings)


@given(data=st.data())
@settings(
    deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_canvases_give_the_same_text(codec: TextCodec, data: st.DataObject) -> None:
    spelled = ["a", "b", ", ", "é", "🙂", THOUGHT, CALL, UNREADABLE]
    written = "".join(data.draw(st.lists(st.sampled_from(spelled), max_size=8)))
    ids = codec.encode(written)
    stops = data.draw(st.lists(st.text("ab,é🙂 <", min_size=1, max_size=3), max_size=3))
    borders = sorted(data.draw(st.lists(st.integers(0, len(ids)), max_size=6)))
    edges = zip([0, *borders], [*borders, len(ids)], strict=True)
    canvases = [ids[start:end] for start, end in edges]

    whole = text_of(read(Reader(codec, PROMPT_IDS), [ids]))
    places = [place for stop in stops if (place := whole.find(stop)) >= 0]
    assert text_of(read(reader(codec, *stops), canvases)) == whole[: min(places, default=None)]


@pytest.mark.parametrize(
    ("written", "stop", "kept"),
    [
        ("reverse", "verse", "re"),
        ("reverse", "reverse", ""),
        # ", " is one token: the sequence begins in its middle
        ("a, b", " b", "a, "),
        ("a, b", ", b", "a"),
        # of several bytes, each of which has a token
        ("a🙂b🙂c", "🙂c", "a🙂b"),
        ("é🙂b", "b", "é🙂"),
        ("🙂é!", "🙂é", ""),
        # what has no text of its own and comes before the sequence stays
        (f"ab{CALL}cd", "cd", f"ab{CALL}"),
        (f"{THOUGHT}ab", "ab", THOUGHT),
        (f"ab{CALL}cd", "bc", "a"),
    ],
)
def test_the_tokens_end_where_the_sequence_begins(
    codec: TextCodec, written: str, stop: str, kept: str
) -> None:
    ids = codec.encode(written)
    [reading] = read(reader(codec, stop), [ids, codec.encode("more")])
    assert codec.decode_verbatim(reading.token_ids) == kept
    assert list(reading.token_ids) == ids[: len(reading.token_ids)]


def test_a_canvas_in_which_a_sequence_only_ends_gives_no_tokens(codec: TextCodec) -> None:
    first, second = codec.encode("1 to st"), codec.encode("op 2")
    readings = read(reader(codec, "stop"), [first, second])
    assert [reading.token_ids for reading in readings] == [tuple(first), ()]
    assert [reading.pieces.text for reading in readings] == ["1 to ", ""]


def test_held_text_before_the_sequence_comes_with_the_canvas_that_tells(codec: TextCodec) -> None:
    readings = read(reader(codec, "aab"), [codec.encode("aa"), codec.encode("ab")])
    assert [reading.pieces.text for reading in readings] == ["", "a"]
    assert readings[1].token_ids == ()


def test_thoughts_and_calls_behind_the_cut_are_not_told(codec: TextCodec) -> None:
    ids = codec.encode(f"{THOUGHT}a{CALL}stop{THOUGHT}{CALL}")
    reading_on = reader(codec, "stop")
    [reading] = read(reading_on, [ids])
    assert (reading.pieces.text, reading.pieces.thought) == ("a", "I think.")
    assert [call.id for call in reading.pieces.tool_calls] == ["call_0"]
    assert reading_on.call_count == 1
    assert reading_on.thinking_tokens == len(codec.encode(THOUGHT))


def test_thoughts_and_calls_are_not_searched(codec: TextCodec) -> None:
    ids = codec.encode(f"{THOUGHT}a{CALL}b")
    reading_on = reader(codec, "think", "Oslo", "weather", "<|tool_call>")
    assert text_of(read(reading_on, [ids])) == "ab"
    assert reading_on.stop_sequence is None


def test_a_call_that_cannot_be_read_is_searched_as_the_text_it_is(codec: TextCodec) -> None:
    # also where the answer ends in the middle of it
    for unread in (UNREADABLE, UNREADABLE[:24]):
        ids = codec.encode(f"a{unread}")
        [reading] = read(reader(codec, "weather"), [ids])
        assert reading.pieces.text == "a<|tool_call>call:"
        assert list(reading.token_ids) == ids


def test_a_draft_is_shown_up_to_a_sequence(codec: TextCodec) -> None:
    reading_on = reader(codec, "stop")
    reading_on.push(codec.encode("a st"), final=False)
    assert reading_on.draft(codec.encode("op, b")).text == ""
    assert reading_on.draft(codec.encode("ep, stop")).text == "ep, "
    assert reading_on.stop_sequence is None
