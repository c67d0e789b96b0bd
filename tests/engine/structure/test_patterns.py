"""Regular expressions as automata, against Python's own matching."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palimpsest.engine.structure.automaton import Automaton, PatternError
from palimpsest.engine.structure.characters import LAST, SURROGATES, byte_ranges, complement, union
from palimpsest.engine.structure.patterns import compile_pattern

characters = st.sampled_from("abc019 _-\n.éß€😀")
codes = st.integers(0, LAST).filter(lambda code: not SURROGATES[0] <= code <= SURROGATES[1])
atoms = st.sampled_from(
    [
        "a",
        "b",
        "é",
        "😀",
        ".",
        r"\d",
        r"\w",
        r"\s",
        r"\W",
        "[ab]",
        "[^a]",
        "[a-c0-9]",
        r"[^\w]",
        r"\.",
    ]
)


def joined(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    repeats = st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "{1,3}", "{2,}", "*?", "{0}"])
    return (
        st.tuples(parts, parts).map("".join)
        | st.tuples(parts, parts).map(lambda pair: f"(?:{pair[0]}|{pair[1]})")
        | st.tuples(parts, repeats).map(lambda pair: f"(?:{pair[0]}){pair[1]}")
        | parts.map(lambda part: f"({part})")
    )


patterns = st.recursive(atoms, joined, max_leaves=6)


def accepts(automaton: Automaton, text: str) -> bool:
    state = automaton.start
    for byte in text.encode():
        state = int(automaton.transitions[state, byte])
        if state == automaton.size:
            return False
    return bool(automaton.accepting[state])


@settings(deadline=None)
@given(patterns, st.lists(st.text(characters, max_size=6), min_size=1))
def test_an_automaton_accepts_what_python_matches_as_a_whole(
    pattern: str, texts: list[str]
) -> None:
    expression = re.compile(pattern, re.ASCII)
    try:
        automaton = compile_pattern(pattern)
    except PatternError as empty:
        assert "no text" in str(empty)
        return
    for text in texts:
        assert accepts(automaton, text) == bool(expression.fullmatch(text)), text


@given(codes, codes, codes)
def test_a_range_is_written_in_exactly_the_bytes_of_its_characters(
    one: int, other: int, code: int
) -> None:
    first, last = sorted((one, other))
    ranges = union([(first, last)])
    written = chr(code).encode()
    fits = [
        sequence
        for low, high in ranges
        for sequence in byte_ranges(low, high)
        if len(sequence) == len(written)
        and all(a <= byte <= b for (a, b), byte in zip(sequence, written, strict=True))
    ]
    assert len(fits) == (first <= code <= last)


def test_what_a_range_writes_is_always_text() -> None:
    for sequence in (s for low, high in complement([]) for s in byte_ranges(low, high)):
        for corner in (bytes(a for a, _ in sequence), bytes(b for _, b in sequence)):
            assert corner.decode().encode() == corner


@given(st.lists(st.tuples(codes, codes).map(lambda pair: (min(pair), max(pair)))), codes)
def test_a_character_is_in_a_set_or_in_its_complement(
    ranges: list[tuple[int, int]], code: int
) -> None:
    inside = any(first <= code <= last for first, last in ranges)
    assert any(a <= code <= b for a, b in union(ranges)) == inside
    assert any(a <= code <= b for a, b in complement(ranges)) != inside


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(?=a)b", "assert"),
        (r"(a)\1", "groupref"),
        ("a^b", "at "),
        (r"\bword", "at "),
        ("a++", "possessive"),
        ("(?>a)", "atomic"),
        ("(?i)a", "flags"),
        ("(?i:a)", "subpattern"),
        ("[", "unterminated"),
        ("a{3,2}", "min repeat"),
        ("[^\\s\\S]", "no text"),
        ("(?:abcd){15000}", "nodes"),
        (".{600}", "states"),
        ("(?:a|b)*a(?:a|b){20}", "states"),
        ("a" * 70_000, "characters"),
        # by the parser's depth, and by our own
        ("(?:" * 2_000 + "a" + ")*" * 2_000, "nested too deeply"),
        ("(?:" * 400 + "a" + ")*" * 400, "nested too deeply"),
    ],
)
def test_what_no_automaton_does_is_refused_by_name(pattern: str, reason: str) -> None:
    with pytest.raises(PatternError, match=reason):
        compile_pattern(pattern)


def test_anchors_around_the_whole_say_what_is_meant_anyway() -> None:
    automaton = compile_pattern("^ab$")
    assert accepts(automaton, "ab")
    assert not accepts(automaton, "^ab$")


def test_every_state_leads_to_an_end() -> None:
    automaton = compile_pattern("a(b[^\\s\\S]|c)")
    assert automaton.size == 3
