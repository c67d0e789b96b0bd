"""A request has the same tokens alone, in company, from the cache, in chunks, and preempted."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest
import torch
from pairs import Pair
from replay import answer, random_prompt, run, submit

from palimpsest.engine.checkpoint import checkpoint_folder
from palimpsest.engine.commands import CanvasPlan, Submit, Thinking
from palimpsest.engine.engine import Engine
from palimpsest.engine.events import Committed, Encoded, Event
from palimpsest.engine.loaded_model import LoadedModel
from palimpsest.engine.pages import PAGE_TOKENS
from palimpsest.engine.sampling import Sampling
from palimpsest.engine.sequence import Limits
from palimpsest.engine.structure.constraint import Constraint
from palimpsest.engine.structure.patterns import compile_pattern
from palimpsest.engine.structure.vocabulary import Vocabulary
from palimpsest.engine.threads import Threads
from palimpsest.engine.training.batches import ExampleSource
from palimpsest.engine.training.skills import SKILLS

CONTEXT = 512
BRIEF = Thinking(open_id=100, close_id=101, is_open=True, budget=20)
CONTROLS: list[dict[str, Any]] = [
    *5 * [{}],
    {"top_p": 0.9},
    {"top_k": 3, "logprobs": 2},
    {"min_p": 0.2},
    {"frequency_penalty": 0.5, "repetition_penalty": 1.2},
    {"logit_bias": ((70, 4.0),), "banned_token_ids": (69,)},
]


def question(number: int, *, tokens: int = 130) -> Submit:
    """A question of some skill, with a seed and settings of its own."""
    random = Random(f"company {number}")
    source = ExampleSource()
    item = SKILLS[random.choice(list(SKILLS))](random)
    sampling = Sampling(
        max_output_tokens=random.randint(1, tokens),
        seed=random.getrandbits(64),
        max_denoising_steps=random.choice((4, 12, 48)),
        temperature=random.choice((0.0, 1.0, 1.3)),
        **random.choice(CONTROLS),
    )
    prompt = source.encode(source.renderer.prompt(item))
    request = submit(prompt, sampling, request_id=number)
    canvas = CanvasPlan(canvas_length=random.choice((None, None, None, 24)))
    bound = random.choice([{}, {}, {}, {"constraint": numbers()}, {"thinking": BRIEF}])
    return replace(request, canvas=canvas, **bound)


@functools.cache
def numbers() -> Constraint:
    """Words or numbers, the shortest of no tokens but the end."""
    return Constraint.of(compile_pattern("[0-9 ]*|[a-z]*"), vocabulary())


@functools.cache
def vocabulary() -> Vocabulary:
    return Vocabulary.of(checkpoint_folder("bundled"))


def of(events: Sequence[Event], request_id: int) -> list[int]:
    return answer([e for e in events if isinstance(e, Committed) and e.request_id == request_id])


def alone(model: LoadedModel, request: Submit) -> list[int]:
    return answer(run(Engine(model), [request]))


def small(model: LoadedModel, pages: int, **changes: int) -> LoadedModel:
    """The model with so few pages in each group."""
    counts = dict.fromkeys(model.capacity.pages, pages)
    return replace(model, capacity=replace(model.capacity, pages=counts, **changes))


@pytest.fixture(scope="module")
def model(bundled: Pair) -> LoadedModel:
    return replace(bundled.model, vocabulary=vocabulary())


@pytest.fixture(scope="module")
def expected(model: LoadedModel) -> dict[int, list[int]]:
    """What each of 33 questions is answered alone."""
    return {number: alone(model, question(number)) for number in range(33)}


@pytest.mark.parametrize("neighbours", [1, 2, 7, 32])
def test_an_answer_is_the_same_in_any_company(
    model: LoadedModel, expected: dict[int, list[int]], neighbours: int
) -> None:
    events = run(Engine(model), [question(number) for number in range(neighbours + 1)])
    for number in range(neighbours + 1):
        assert of(events, number) == expected[number], number


def test_an_answer_is_the_same_whenever_the_others_come_and_go(
    model: LoadedModel, expected: dict[int, list[int]]
) -> None:
    engine, events = Engine(model), []
    for number in range(12):
        events += engine.step([question(number)])
    events += run(engine, [])
    for number in range(12):
        assert of(events, number) == expected[number], number


def test_an_answer_is_the_same_on_any_number_of_threads(
    model: LoadedModel, expected: dict[int, list[int]]
) -> None:
    before = torch.get_num_threads()
    try:
        engine = Engine(model, threads=Threads(most=2))
        events = run(engine, [question(number) for number in range(12)])
    finally:
        torch.set_num_threads(before)
    for number in range(12):
        assert of(events, number) == expected[number], number


@pytest.mark.parametrize("chunk", [1, 33, 64])
def test_a_prompt_in_chunks_is_the_prompt_at_once(
    model: LoadedModel, expected: dict[int, list[int]], chunk: int
) -> None:
    chunked = replace(model, capacity=replace(model.capacity, prefill_tokens=chunk))
    for number in range(5):
        assert alone(chunked, question(number)) == expected[number], number


def test_an_answer_from_the_cache_is_the_answer_without(model: LoadedModel) -> None:
    engine, prompt = Engine(model), random_prompt(5 * PAGE_TOKENS + 3)
    sampling = Sampling(max_output_tokens=100, seed=3)
    cold, warm = (run(engine, [submit(prompt, sampling, request_id=i)]) for i in (1, 2))
    assert warm[0].cached_count == 5 * PAGE_TOKENS  # type: ignore[union-attr]
    assert answer(cold) == answer(warm)


def test_a_prompt_that_is_cached_whole_is_not_read_again(model: LoadedModel) -> None:
    engine, prompt = Engine(model), random_prompt(2 * PAGE_TOKENS)
    sampling = Sampling(max_output_tokens=20, seed=3)
    cold, warm = (run(engine, [submit(prompt, sampling, request_id=i)]) for i in (1, 2))
    assert [e.token_count for e in warm if isinstance(e, Encoded)] == [0]
    assert answer(cold) == answer(warm)


def test_the_next_turn_takes_up_the_committed_canvases_of_the_last(model: LoadedModel) -> None:
    engine, prompt = Engine(replace(model, limits=endless(model))), random_prompt(40)
    sampling = Sampling(max_output_tokens=192, seed=3, max_denoising_steps=2)
    said = answer(run(engine, [submit(prompt, sampling)]))
    turn = [*prompt, *said, *random_prompt(30, seed=4)]
    warm = run(engine, [submit(turn, sampling, request_id=2)])
    # the last canvas was never committed: it is read with the new turn
    assert warm[0].cached_count == (40 + 128) // PAGE_TOKENS * PAGE_TOKENS  # type: ignore[union-attr]
    assert answer(warm) == alone(engine.model, submit(turn, sampling, request_id=2))


def endless(model: LoadedModel) -> Limits:
    return replace(model.limits, end_token_ids=frozenset())


def test_requests_that_lose_their_pages_end_as_if_they_had_not(
    model: LoadedModel, expected: dict[int, list[int]]
) -> None:
    engine = Engine(small(model, pages=CONTEXT // PAGE_TOKENS + 1))
    events = [*engine.step([question(number) for number in range(12)])]
    for _ in range(20):
        events += engine.step([])
        if engine.scheduler.running:
            engine.scheduler._preempt(engine.scheduler.running[-1])
    events += run(engine, [])
    assert engine.scheduler.preempted > 5
    for number in range(12):
        assert of(events, number) == expected[number], number
    assert all(pool.held == 0 for pool in engine.scheduler.pages.pools.values())


def test_a_request_that_loses_its_pages_in_mid_canvas_goes_on_with_its_next_step(
    model: LoadedModel,
) -> None:
    request = submit(random_prompt(100), Sampling(max_output_tokens=128, seed=1), request_id=1)
    engine = Engine(model)
    events = [*engine.step([request])]
    engine.scheduler._preempt(engine.scheduler.running[0])
    events += run(engine, [])
    whole = run(Engine(model), [request])
    kinds = [[type(event) for event in run_] for run_ in (events, whole)]
    assert kinds[0] == kinds[1]
    assert answer(events) == answer(whole)
