"""What is computed for questions without any engine: canvases, shares, shared prompts."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as some

from palimpsest.engine.api import Capacity, ModelInfo, Sampling
from palimpsest.server.questions import SharedPrompts, canvas_length, probabilities

MODEL = ModelInfo(
    name="m",
    canvas_length=64,
    max_context_tokens=1_024,
    vocabulary_size=512,
    end_token_ids=(1,),
    parameter_count=0,
    sees=False,
    device="cpu",
    dtype="float32",
    defaults=Sampling(max_output_tokens=64, seed=0),
    capacity=Capacity(pages={None: 1}, cache_bytes=0),
)


@pytest.mark.parametrize(
    ("label_tokens", "whole", "expected"),
    [(1, 64, 16), (15, 64, 16), (16, 64, 32), (63, 64, 64), (40, 256, 48), (1, 8, 8), (20, 24, 24)],
)
def test_a_canvas_is_as_narrow_as_its_longest_label_and_an_end_token_let_it(
    label_tokens: int, whole: int, expected: int
) -> None:
    model = replace(MODEL, canvas_length=whole)
    assert canvas_length([(5,), (5,) * label_tokens], model) == expected


LOG_PROBABILITIES = some.lists(some.floats(-1e4, 0.0), min_size=2, max_size=256)


@given(LOG_PROBABILITIES, some.floats(0.01, 100.0))
def test_shares_add_up_to_one_in_the_order_of_the_log_probabilities(
    values: list[float], temperature: float
) -> None:
    shares = probabilities(values, temperature=temperature)
    assert math.fsum(shares) == pytest.approx(1.0)
    ranked = sorted(range(len(values)), key=values.__getitem__)
    assert all(shares[a] <= shares[b] for a, b in pairwise(ranked))


PROMPTS = some.lists(some.lists(some.integers(0, 2), min_size=1, max_size=8), min_size=1)


@given(PROMPTS)
def test_prompts_come_back_as_they_were_added(prompts: list[list[int]]) -> None:
    shared = SharedPrompts()
    for prompt in prompts:
        shared.append(tuple(prompt))
    assert [list(shared[index]) for index in range(len(prompts))] == prompts
    assert shared.token_count == sum(map(len, prompts))
