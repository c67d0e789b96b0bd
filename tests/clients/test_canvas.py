"""Which token looks how, and where rows break."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from palimpsest.canvas import (
    BLANK,
    LINE_BREAK,
    UNPRINTABLE,
    Glyph,
    Look,
    Row,
    committed_glyphs,
    draft_glyphs,
    printable,
    wrap,
)
from palimpsest.events import Snapshot, StepFigures

FIGURES = StepFigures(
    step_s=0.01,
    queue_s=None,
    device_s=None,
    batch_size=1,
    temperature=0.8,
    accepted_count=1,
    changed_count=1,
    mean_entropy=0.5,
)


def snapshot(*tokens: tuple[str, int, float, bool]) -> Snapshot:
    """A draft of (text, id, confidence, accepted)."""
    return Snapshot(
        sequence=1,
        canvas_index=0,
        step=1,
        max_denoising_steps=48,
        figures=FIGURES,
        token_texts=tuple(token[0] for token in tokens),
        token_ids=tuple(token[1] for token in tokens),
        confidence=tuple(token[2] for token in tokens),
        accepted=tuple(token[3] for token in tokens),
    )


def looks(glyphs: Row) -> list[Look]:
    return [glyph.look for glyph in glyphs]


def texts(rows: list[Row]) -> list[str]:
    return ["".join(glyph.text for glyph in row) for row in rows]


def test_an_accepted_token_is_settled_once_it_stays_the_same() -> None:
    before = snapshot(("a", 1, 0.9, True), ("b", 2, 0.9, True))
    after = snapshot(("a", 1, 0.9, True), ("c", 3, 0.9, True))
    assert looks(draft_glyphs(before, None)) == [Look.FRESH, Look.FRESH]
    assert looks(draft_glyphs(after, before)) == [Look.SETTLED, Look.FRESH]


def test_tokens_that_are_not_accepted_fade_with_their_confidence() -> None:
    draft = snapshot(("a", 1, 0.9, False), ("b", 2, 0.4, False), ("c", 3, 0.1, False))
    assert looks(draft_glyphs(draft, draft)) == [Look.LIKELY, Look.DOUBTFUL, Look.NOISE]


def test_a_token_without_text_is_a_dot() -> None:
    draft = snapshot(("", 0, 0.9, True), ("", 0, 0.1, False))
    glyphs = draft_glyphs(draft, draft)
    assert [glyph.text for glyph in glyphs] == [BLANK, BLANK]
    assert looks(glyphs) == [Look.BLANK, Look.NOISE]


def test_a_line_break_breaks_the_line_only_once_it_is_settled() -> None:
    settled = snapshot(("\n", 107, 0.9, True))
    unsettled = snapshot(("\n", 107, 0.9, False))
    assert texts(wrap(draft_glyphs(settled, settled), 10)) == ["", ""]
    assert texts(wrap(draft_glyphs(unsettled, unsettled), 10)) == [LINE_BREAK]


def test_no_control_character_of_a_model_reaches_the_terminal() -> None:
    assert (
        printable("a\x1b[31m\tb\x07\r\n\x9bc")
        == f"a{UNPRINTABLE}[31m    b{UNPRINTABLE}\n{UNPRINTABLE}c"
    )


def test_rows_break_between_words() -> None:
    assert texts(wrap(committed_glyphs("to be or not to be"), 7)) == ["to be ", "or not ", "to be"]


def test_a_word_wider_than_a_row_is_cut() -> None:
    assert texts(wrap(committed_glyphs("abcdefgh"), 3)) == ["abc", "def", "gh"]


def test_a_break_swallows_the_space_it_falls_on() -> None:
    assert texts(wrap(committed_glyphs("abc def"), 3)) == ["abc", "def"]


def test_a_run_of_blanks_may_break_anywhere() -> None:
    row = [*committed_glyphs("no way "), *([Glyph(BLANK, Look.BLANK, 1)] * 6)]
    assert texts(wrap(row, 9)) == ["no way ··", "····"]


def test_wide_characters_count_double() -> None:
    assert texts(wrap(committed_glyphs("画布画布"), 5)) == ["画布", "画布"]


PRINTABLE = st.text(st.sampled_from("ab c \n画é·"), max_size=60)


@given(PRINTABLE, st.integers(2, 20))
def test_no_row_is_wider_than_asked(text: str, width: int) -> None:
    assert all(cell_len(row) <= width for row in texts(wrap(committed_glyphs(text), width)))


@given(PRINTABLE, PRINTABLE, st.integers(2, 20))
def test_all_rows_but_the_last_stay_when_the_text_goes_on(text: str, more: str, width: int) -> None:
    rows = texts(wrap(committed_glyphs(text), width))
    longer = texts(wrap(committed_glyphs(text + more), width))
    assert longer[: len(rows) - 1] == rows[:-1]


@given(PRINTABLE, st.integers(2, 20))
def test_wrapping_loses_nothing_but_spaces_and_line_breaks(text: str, width: int) -> None:
    def letters(part: str) -> str:
        return part.replace(" ", "").replace("\n", "")

    assert letters("".join(texts(wrap(committed_glyphs(text), width)))) == letters(text)


@given(PRINTABLE, PRINTABLE, st.integers(2, 20))
def test_the_last_row_can_be_wrapped_on_with_what_follows(text: str, more: str, width: int) -> None:
    rows = wrap(committed_glyphs(text), width)
    resumed = rows[:-1] + wrap([*rows[-1], *committed_glyphs(more)], width)
    assert texts(resumed) == texts(wrap(committed_glyphs(text + more), width))
