"""A budget of thought, for networks that say anything at all."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from palimpsest.engine.commands import Thinking
from palimpsest.engine.thoughts import FREE, ThoughtBudget

OPEN, CLOSE, CALL = 1, 2, 3
SIZE = 6


def canvas_of(chooser: ThoughtBudget, wanted: list[int]) -> list[int]:
    """What comes of tokens that a network is sure of, its second choice being 5."""
    logits = torch.zeros(len(wanted), SIZE)
    logits[:, 5] = 1.0
    logits[range(len(wanted)), wanted] = 2.0
    chosen = chooser.choose(lambda rows: logits[rows], length=len(wanted), vocabulary=SIZE)
    return [own if given == FREE else given for own, given in zip(wanted, chosen, strict=True)]


def thought_tokens(answer: list[int], *, is_open: bool) -> int:
    count = 0
    for token in answer:
        is_open = is_open or token == OPEN
        count += is_open and token != CALL
        is_open = is_open and token not in (CLOSE, CALL)
    return count


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([OPEN, CLOSE, CALL, 4, 4, 4]), min_size=12, max_size=12),
    st.integers(1, 6),
    st.integers(0, 12),
    st.booleans(),
)
def test_no_answer_thinks_longer_than_its_budget(
    wanted: list[int], length: int, budget: int, is_open: bool
) -> None:
    thinking = Thinking(open_id=OPEN, close_id=CLOSE, call_id=CALL, is_open=is_open)
    chooser = ThoughtBudget(thinking, budget)
    answer: list[int] = []
    for first in range(0, len(wanted), length):
        canvas = canvas_of(chooser, wanted[first : first + length])
        chooser.commit(canvas)
        answer += canvas
    # a thought that was open before takes a token to be closed
    assert thought_tokens(answer, is_open=is_open) <= max(budget, is_open)


@settings(deadline=None)
@given(st.lists(st.sampled_from([4, 5]), max_size=4), st.integers(6, 10))
def test_a_thought_within_its_budget_is_left_alone(thought: list[int], budget: int) -> None:
    wanted = [OPEN, *thought, CLOSE, 4, 5, 4]
    thinking = Thinking(open_id=OPEN, close_id=CLOSE)
    assert canvas_of(ThoughtBudget(thinking, budget), wanted) == wanted


def test_a_call_ends_a_thought_as_its_marker_does() -> None:
    thinking = Thinking(open_id=OPEN, close_id=CLOSE, call_id=CALL)
    wanted = [OPEN, 4, CALL, 4, 4, 4]
    assert canvas_of(ThoughtBudget(thinking, 4), wanted) == wanted
