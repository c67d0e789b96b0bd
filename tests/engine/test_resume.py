"""A request that comes with the first canvases of its answer goes on as if it had written them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pairs import Pair
from replay import answer, ending, random_prompt, run, submit

from palimpsest.engine.capacity import DEFAULT_PREFILL_TOKENS
from palimpsest.engine.engine import Engine
from palimpsest.engine.events import Encoded, Event, FinishReason, Stepped
from palimpsest.engine.loaded_model import LoadedModel
from palimpsest.engine.sampling import Sampling

C = 32
PROMPT = random_prompt(20)
SAMPLING = Sampling(max_output_tokens=3 * C + 5, seed=7, max_denoising_steps=3)


def generate(
    model: LoadedModel,
    committed: list[int] | None = None,
    *,
    prompt: list[int] = PROMPT,
    sampling: Sampling = SAMPLING,
) -> list[Event]:
    request = replace(submit(prompt, sampling), committed_ids=tuple(committed or ()))
    return run(Engine(model), [request])


def from_canvas(events: list[Event], first: int) -> list[tuple[object, ...]]:
    """What was shown of this canvas and those after it."""
    return [
        (event.canvas_index, event.step, event.accepted_count, event.draft.token_ids)
        for event in events
        if isinstance(event, Stepped) and event.draft and event.canvas_index >= first
    ]


@pytest.mark.parametrize("length", [20, DEFAULT_PREFILL_TOKENS + 7])
@pytest.mark.parametrize("first", [1, 3])
def test_the_canvases_that_follow_are_the_same_step_by_step(
    calm: Pair, first: int, length: int
) -> None:
    prompt = random_prompt(length)
    whole = generate(calm.ending_at(), prompt=prompt)
    resumed = generate(calm.ending_at(), answer(whole)[: first * C], prompt=prompt)
    assert from_canvas(resumed, first) == from_canvas(whole, first) != []
    assert answer(resumed) == answer(whole)[first * C :]


def test_what_came_with_the_request_is_encoded_with_the_prompt(calm: Pair) -> None:
    events = generate(calm.ending_at(), answer(generate(calm.ending_at()))[: 2 * C])
    first = events[0]
    assert isinstance(first, Encoded)
    assert (first.canvas_index, first.token_count) == (None, len(PROMPT) + 2 * C)


def test_limits_count_the_whole_answer_and_usage_what_was_written_now(calm: Pair) -> None:
    whole = generate(calm.ending_at())
    end = ending(generate(calm.ending_at(), answer(whole)[: 2 * C]))
    assert end.reason is FinishReason.LENGTH
    assert (end.usage.prompt_tokens, end.usage.output_tokens) == (len(PROMPT), C + 5)
    assert (end.usage.canvases, end.usage.denoising_steps) == (2, 2 * 3)


def test_the_answer_ends_where_no_further_canvas_fits_the_context(calm: Pair) -> None:
    model = calm.ending_at()
    room = len(PROMPT) + 3 * C - 1
    model = replace(model, limits=replace(model.limits, max_context_tokens=room))
    whole = generate(model)
    resumed = generate(model, answer(whole)[:C])
    assert answer(resumed) == answer(whole)[C:]
    assert ending(resumed).reason is ending(whole).reason is FinishReason.LENGTH
    assert ending(resumed).usage.canvases == 1
