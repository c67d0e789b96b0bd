"""Canvases that a form chooses, for networks that say anything at all."""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Callable, Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from palimpsest.engine.commands import Thinking
from palimpsest.engine.structure import transitions
from palimpsest.engine.structure.constraint import Constraint
from palimpsest.engine.structure.form import Form
from palimpsest.engine.structure.patterns import compile_pattern
from palimpsest.engine.structure.vocabulary import Vocabulary

END, OPEN, CLOSE = 0, 1, 2
PIECES = [*"abx01,[]", "ab", "ba", "01", "],", "é", "[a", " "]
VOCABULARY = Vocabulary({i: piece.encode() for i, piece in enumerate(PIECES, start=3)})
SIZE = len(PIECES) + 3
PATTERNS = ["ab*", "(?:ab|ba){2,5}", r"\[(?:[ab]+(?:,[ab]+)*)?\]", "[01]{1,4}x", "é+", "a?"]
THINKING = Thinking(open_id=OPEN, close_id=CLOSE)

Logits = Callable[[slice], Tensor]


@functools.cache
def constraint(pattern: str) -> Constraint:
    return Constraint.of(compile_pattern(pattern), VOCABULARY)


def shortest(pattern: str) -> int:
    """Tokens that suffice for a whole text, with the end token."""
    made = constraint(pattern)
    return int(made.needed[made.automaton.start])


def form(pattern: str, *, limit: int, thinking: Thinking | None = None) -> Form:
    return Form(constraint(pattern), VOCABULARY, end_ids=[END], thinking=thinking, limit=limit)


def random_logits(seed: int, length: int) -> Tensor:
    return torch.randn(length, SIZE, generator=torch.Generator().manual_seed(seed)) * 5


def written(
    chooser: Form, length: int, seed: int, limit: int, logits: Callable[[int], Tensor] | None = None
) -> list[int]:
    """The answer's tokens up to its end token, canvas by canvas; fails if none comes in time."""
    answer: list[int] = []
    for index in itertools.count():
        scores = random_logits(seed + index, length) if logits is None else logits(index)
        canvas = chooser.choose(lambda rows, s=scores: s[rows], length=length, vocabulary=SIZE)
        if END in canvas:
            answer += canvas[: canvas.index(END)]
            break
        answer += canvas
        chooser.commit(canvas)
        assert len(answer) < limit, "no end in time"
    assert len(answer) < limit
    return answer


def text_of(token_ids: Sequence[int]) -> str:
    return b"".join(VOCABULARY.pieces[token] for token in token_ids).decode()


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(PATTERNS),
    st.integers(1, 7),
    st.integers(0, 12),
    st.integers(0, 10_000),
)
def test_any_network_writes_the_form_within_the_limit(
    pattern: str, length: int, spare: int, seed: int
) -> None:
    limit = shortest(pattern) + spare
    answer = written(form(pattern, limit=limit), length, seed, limit)
    assert re.fullmatch(pattern, text_of(answer))


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(PATTERNS),
    st.integers(1, 7),
    st.integers(2, 12),
    st.integers(0, 10_000),
    st.none() | st.integers(0, 8),
)
def test_thoughts_stand_before_the_form_and_within_their_budget(
    pattern: str, length: int, spare: int, seed: int, budget: int | None
) -> None:
    limit = shortest(pattern) + spare
    thinking = Thinking(open_id=OPEN, close_id=CLOSE, budget=budget)
    answer = written(form(pattern, limit=limit, thinking=thinking), length, seed, limit)
    said = []
    thought = 0
    inside = False
    for token in answer:
        inside = inside or token == OPEN
        if inside:
            thought += 1
        else:
            said.append(token)
        inside = inside and token != CLOSE
    assert not inside
    assert re.fullmatch(pattern, text_of(said))
    assert budget is None or thought <= budget


def test_what_is_known_of_tokens_may_be_forgotten_between_canvases(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limit = shortest(PATTERNS[1]) + 9
    kept = written(form(PATTERNS[1], limit=limit), 1, 5, limit)
    monkeypatch.setattr(transitions, "KEPT_ENTRIES", 0)
    assert written(form(PATTERNS[1], limit=limit), 1, 5, limit) == kept
    assert len(kept) > 1


def test_a_network_that_thinks_is_let() -> None:
    thought = [OPEN, 3, 4, CLOSE, 3, END]
    sure = torch.full((6, SIZE), -9.0)
    sure[range(6), thought] = 9.0
    answer = written(form("a", limit=20, thinking=THINKING), 6, 0, 20, lambda _: sure)
    assert answer == thought[:-1]


def test_a_thought_that_the_prompt_left_open_is_closed_first() -> None:
    opened = Thinking(open_id=OPEN, close_id=CLOSE, is_open=True)
    answer = written(form("a", limit=9, thinking=opened), 9, 3, 9)
    end = answer.index(CLOSE)
    assert OPEN not in answer[end:]
    assert text_of(answer[end + 1 :]) == "a"


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(["ab*", "(?:ab|ba)+", "a?", "[01]x"]), st.integers(0, 10_000))
def test_the_canvas_is_the_most_probable_of_all_that_are_allowed(pattern: str, seed: int) -> None:
    length = 4
    logits = random_logits(seed, length)
    chosen = form(pattern, limit=length).choose(
        lambda rows: logits[rows], length=length, vocabulary=SIZE
    )

    def score(canvas: Sequence[int]) -> float:
        return sum(float(logits[place, token]) for place, token in enumerate(canvas))

    def allowed(canvas: Sequence[int]) -> bool:
        text = canvas[: canvas.index(END)]
        return all(token >= 3 for token in text) and bool(re.fullmatch(pattern, text_of(text)))

    canvases = itertools.product(range(SIZE), repeat=length)
    best = max((canvas for canvas in canvases if END in canvas and allowed(canvas)), key=score)
    assert math.isclose(score(chosen), score(best), rel_tol=1e-6)


def test_tokens_outside_the_likeliest_are_taken_where_nothing_else_goes_on() -> None:
    many = Vocabulary({i: bytes([i]) for i in range(3, 200)})
    zebra = Constraint.of(compile_pattern("zebra"), many)
    chooser = Form(zebra, many, end_ids=[END], thinking=None, limit=10)
    logits = torch.zeros(10, 200)
    logits[:, 130:] = 50.0
    canvas = chooser.choose(lambda rows: logits[rows], length=10, vocabulary=200)
    assert bytes(canvas[: canvas.index(END)]) == b"zebra"


def test_rows_may_come_in_any_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    from palimpsest.engine import tiles

    logits = random_logits(5, 40)

    def choose() -> list[int]:
        return form("(?:ab|ba)+", limit=100).choose(
            lambda rows: logits[rows], length=40, vocabulary=SIZE
        )

    whole = choose()
    monkeypatch.setattr(tiles, "TILE_ELEMENTS", 16 * SIZE)
    assert choose() == whole


def test_a_vocabulary_that_cannot_write_a_text_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot write"):
        Constraint.of(compile_pattern("q"), VOCABULARY)
