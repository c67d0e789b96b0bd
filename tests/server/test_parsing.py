"""What answers say: hand-written ones, and any tokens in any canvases."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from palimpsest.engine.api import TextCodec, checkpoint_folder
from palimpsest.server.exchange import ContentKind, ContentSpan
from palimpsest.server.parsing import OutputParser, Pieces
from palimpsest.server.prompts import ToolCall

OUTPUTS = tomllib.loads(Path(__file__).with_name("outputs.toml").read_text())["output"]
MODEL_TURN = "<bos><|turn>user\nHi<turn|>\n<|turn>model\n"
MARKERS = ["<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>", '<|"|>']
MARKERS += ["<|tool_response>", "<tool_response|>", "<bos>"]
property_test = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def codec() -> TextCodec:
    return TextCodec(checkpoint_folder("bundled"))


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """All of an answer."""

    pieces: Pieces
    call_count: int
    thinking_tokens: int


def parse(
    codec: TextCodec, canvases: Sequence[Sequence[int]], *, prompt: str = MODEL_TURN
) -> Parsed:
    parser = OutputParser(codec, codec.encode(prompt))
    whole = Pieces()
    for index, canvas in enumerate(canvases):
        pieces = parser.push(canvas, final=index == len(canvases) - 1)
        whole.text += pieces.text
        whole.thought += pieces.thought
        whole.tool_calls += pieces.tool_calls
    return Parsed(
        pieces=whole, call_count=parser.call_count, thinking_tokens=parser.thinking_tokens
    )


def canvases_of(ids: Sequence[int], length: int) -> list[Sequence[int]]:
    return [ids[start : start + length] for start in range(0, len(ids), length)] or [[]]


def tokens(codec: TextCodec, written: str | list[str]) -> list[int]:
    pieces = [written] if isinstance(written, str) else written
    return [token for piece in pieces for token in codec.encode(piece)]


@pytest.mark.parametrize("length", [1, 2, 7, 10_000])
@pytest.mark.parametrize("output", OUTPUTS, ids=lambda output: output["name"])
def test_a_written_answer_says_what_it_says_in_canvases_of_any_length(
    codec: TextCodec, output: dict[str, Any], length: int
) -> None:
    ids = tokens(codec, output["written"])
    prompt = MODEL_TURN + output.get("prompt", "")
    parsed = parse(codec, canvases_of(ids, length), prompt=prompt)
    assert parsed.pieces.text == output.get("text", "")
    assert parsed.pieces.thought == output.get("thought", "")
    calls = [
        f"{call.name} {json.dumps(call.arguments, ensure_ascii=False)}"
        for call in parsed.pieces.tool_calls
    ]
    # through JSON and back, so that the file may write it as it likes
    assert [_call(call) for call in calls] == [_call(call) for call in output.get("calls", [])]
    assert parsed.call_count == len(calls)
    if "thinking_tokens" in output:
        assert parsed.thinking_tokens == output["thinking_tokens"]


def _call(written: str) -> tuple[str, Any]:
    name, _, arguments = written.partition(" ")
    return name, json.loads(arguments)


def test_there_are_enough_written_answers_and_none_twice() -> None:
    assert len(OUTPUTS) >= 60
    assert len({output["name"] for output in OUTPUTS}) == len(OUTPUTS)


FRAGMENTS = ["thought\n", "thou", "call:f{", "a:1", "b:", "}", "{", ",", " ", "\n", "é", "🙂", "x"]
written = st.sampled_from([*MARKERS, *FRAGMENTS])
sizes = st.lists(st.integers(0, 5), max_size=12)


@property_test
@given(pieces=st.lists(written, max_size=24), sizes=sizes, opened=st.booleans())
def test_any_division_into_canvases_says_the_same(
    codec: TextCodec, pieces: list[str], sizes: list[int], opened: bool
) -> None:
    ids = tokens(codec, pieces)
    prompt = MODEL_TURN + ("<|channel>thought\n" if opened else "")
    canvases, start = [], 0
    for size in sizes:
        canvases.append(ids[start : start + size])
        start += size
    canvases.append(ids[start:])
    assert parse(codec, canvases, prompt=prompt) == parse(codec, [ids], prompt=prompt)


@property_test
@given(ids=st.lists(st.integers(0, 511), max_size=60), length=st.integers(1, 7))
def test_any_tokens_say_the_same_in_canvases_of_any_length(
    codec: TextCodec, ids: list[int], length: int
) -> None:
    assert parse(codec, canvases_of(ids, length)) == parse(codec, [ids])


# the tokenizer writes spaces as ▁
names = st.from_regex(r"[A-Za-z0-9_.-]{1,64}", fullmatch=True)
strings = st.text(st.characters(exclude_characters="▁", exclude_categories=["Cs"]), max_size=12)
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | strings
arguments = st.dictionaries(
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True),
    st.recursive(
        scalars,
        lambda values: (
            st.lists(values, max_size=3)
            | st.dictionaries(
                st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True), values, max_size=3
            )
        ),
        max_leaves=8,
    ),
    max_size=4,
)


@property_test
@given(name=names, arguments=arguments)
def test_a_call_is_read_as_the_chat_template_writes_it(
    codec: TextCodec, name: str, arguments: dict[str, Any]
) -> None:
    call = {"id": "a", "function": {"name": name, "arguments": arguments}}
    question = {"role": "user", "content": "q"}
    told = {"role": "assistant", "content": "", "tool_calls": [call]}
    prompt = codec.encode_chat([question])
    # after a call without a result the template begins that result
    ids = codec.encode_chat([question, told])[len(prompt) : -1]
    parser = OutputParser(codec, prompt)
    [read] = parser.push(ids, final=True).tool_calls
    assert (read.name, read.arguments) == (name, arguments)


@property_test
@given(thought=st.text(st.sampled_from("ab \n.é"), max_size=12), text=strings)
def test_pieces_are_never_taken_back(codec: TextCodec, thought: str, text: str) -> None:
    ids = [100, *codec.encode(f"thought\n{thought}"), 101, *tokens(codec, _spelled(text))]
    parser = OutputParser(codec, codec.encode(MODEL_TURN))
    given = Pieces()
    for token in ids:
        pieces = parser.push([token], final=False)
        given.text += pieces.text
        given.thought += pieces.thought
        assert text.startswith(given.text)
        assert thought.strip().startswith(given.thought)
    rest = parser.push([], final=True)
    assert given.thought + rest.thought == thought.strip()
    assert given.text + rest.text == text


def _spelled(text: str) -> list[str]:
    """Character by character, so that no special token is recognised in it."""
    return list(text)


def test_a_character_is_not_put_together_from_two_sides_of_a_thought(codec: TextCodec) -> None:
    euro = codec.encode("€")
    ids = [*euro[:1], *codec.encode("<|channel>hm<channel|>"), *euro[1:]]
    assert parse(codec, [ids]).pieces.text == codec.decode(euro[:1]) + codec.decode(euro[1:])


def test_ids_of_calls_are_counted_and_leave_out_those_of_the_prompt(codec: TextCodec) -> None:
    ids = codec.encode("<|tool_call>call:f{}<tool_call|>") * 3
    known = {"call_0", "call_2", "mine"}
    parser = OutputParser(codec, codec.encode(MODEL_TURN), known_call_ids=known)
    pieces = parser.push(ids[:7], final=False)
    pieces.tool_calls += parser.push(ids[7:], final=True).tool_calls
    assert [call.id for call in pieces.tool_calls] == ["call_1", "call_3", "call_4"]
    assert pieces.tool_calls[0] == ToolCall(id="call_1", name="f", arguments={})


def test_a_call_nested_too_deep_for_a_message_is_text(codec: TextCodec) -> None:
    for depth, calls in ((24, 1), (25, 0), (20_000, 0)):
        written = "<|tool_call>call:f{a:" + "[" * (depth - 1) + "1" + "]" * (depth - 1)
        parsed = parse(codec, [codec.encode(written + "}<tool_call|>")])
        assert parsed.call_count == calls
        assert bool(parsed.pieces.text) is not bool(calls)


def test_a_draft_shows_thought_and_text_and_no_call(codec: TextCodec) -> None:
    parser = OutputParser(codec, codec.encode(MODEL_TURN))
    draft = codec.encode("<|channel>thought\nHm.\n<channel|>Yes<|tool_call>call:f{a")
    assert parser.draft(draft) == Pieces(text="Yes", thought="Hm.")
    assert parser.push(codec.encode("no"), final=True) == Pieces(text="no")


def test_a_draft_goes_on_where_the_committed_canvases_end(codec: TextCodec) -> None:
    parser = OutputParser(codec, codec.encode(MODEL_TURN))
    parser.push(codec.encode("<|channel>thou"), final=False)
    assert parser.draft(codec.encode("ght\nHm.<channel|>Yes")) == Pieces(text="Yes", thought="Hm.")
    parser.push(codec.encode("ght\nI count. "), final=False)
    assert parser.draft(codec.encode("thought\n1 2")) == Pieces(thought="thought\n1 2")
    parser.push(codec.encode("1 2<|tool_call>call:f{"), final=False)
    assert parser.draft(codec.encode("a:1}<tool_call|> ok")) == Pieces(text=" ok")


def test_spans_name_all_positions_that_are_not_plain_text(codec: TextCodec) -> None:
    parser = OutputParser(codec, codec.encode(MODEL_TURN))
    ids = [*codec.encode("ab"), 100, *codec.encode("thought\nc"), 101, 48, 49, 50, 51, 400]
    assert parser.spans(ids) == (
        ContentSpan(kind=ContentKind.THOUGHT, start=2, length=4),
        ContentSpan(kind=ContentKind.TOOL_CALL, start=6, length=2),
        ContentSpan(kind=ContentKind.TOOL_CALL, start=8, length=2),
    )
    parser.push([100], final=False)
    assert parser.spans(ids[:2]) == (ContentSpan(kind=ContentKind.THOUGHT, start=0, length=2),)
    assert parser.spans([]) == ()


def test_plain_drafts_have_no_spans(codec: TextCodec) -> None:
    parser = OutputParser(codec, codec.encode(MODEL_TURN))
    assert parser.spans(codec.encode("savnac")) == ()


def test_without_a_marker_its_part_is_text_and_strings_are_found_by_their_spelling(
    tmp_path: Path,
) -> None:
    folder = checkpoint_folder("bundled")
    shutil.copy(folder / "tokenizer_config.json", tmp_path)
    tokenizer = (folder / "tokenizer.json").read_text()
    for missing, replacement in (("<|channel>", "<unused>"), ('<|\\"|>', "<none>")):
        assert missing in tokenizer
        tokenizer = tokenizer.replace(missing, replacement)
    (tmp_path / "tokenizer.json").write_text(tokenizer)
    codec = TextCodec(tmp_path)
    ids = codec.encode('<|channel>hm<channel|>ok<|tool_call>call:f{a:<|"|>x, y<|"|>}<tool_call|>')
    pieces = parse(codec, [ids]).pieces
    assert (pieces.text, pieces.thought) == ("<|channel>hmok", "")
    assert [call.arguments for call in pieces.tool_calls] == [{"a": "x, y"}]
