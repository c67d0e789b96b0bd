"""The engine over many requests: order, cancellation, failure, and what a seed promises."""

from __future__ import annotations

import gc
from dataclasses import replace

import pytest
import torch
from pairs import Pair
from replay import answer, random_prompt, run, submit

from palimpsest.engine.cache import SequenceCache
from palimpsest.engine.engine import Engine
from palimpsest.engine.messages import (
    MAX_SEED,
    Cancel,
    Encoded,
    Event,
    Failed,
    Finished,
    LoadFailed,
    Loading,
    Ready,
    Sampling,
    Stepped,
    Submit,
)
from palimpsest.engine.noise import CounterNoise, Noise
from palimpsest.engine.sequence import PREFILL_CHUNK_TOKENS

SAMPLING = Sampling(max_output_tokens=64, seed=7, max_denoising_steps=2)
PROMPT = random_prompt(20)


@pytest.fixture
def engine(calm: Pair) -> Engine:
    return Engine(calm.ending_at())


def request(request_id: int, seed: int = 7) -> Submit:
    prompt = random_prompt(20, seed=request_id)
    return submit(prompt, replace(SAMPLING, seed=seed), request_id=request_id)


def ids(events: list[Event]) -> list[int]:
    """Which requests were heard of, in order, each once."""
    named = [e for e in events if not isinstance(e, Ready | LoadFailed | Loading)]
    return list(dict.fromkeys(event.request_id for event in named))


def of(events: list[Event], request_id: int) -> list[Event]:
    return [
        e
        for e in events
        if not isinstance(e, Ready | LoadFailed | Loading) and e.request_id == request_id
    ]


def timeless(events: list[Event]) -> list[Event]:
    return [
        replace(e, start_ns=0, end_ns=0) if hasattr(e, "start_ns") else e  # type: ignore[type-var]
        for e in events
    ]


def test_without_requests_a_step_does_nothing(engine: Engine) -> None:
    assert not engine.busy
    assert engine.step([]) == ()


@pytest.mark.parametrize("seed", [0, 2**32, MAX_SEED])
def test_the_same_seed_gives_the_same_events_every_time(calm: Pair, seed: int) -> None:
    runs = [timeless(run(Engine(calm.ending_at()), [request(1, seed)])) for _ in range(3)]
    assert runs[0] == runs[1] == runs[2]


def test_another_seed_gives_another_answer(calm: Pair) -> None:
    answers = {tuple(answer(run(Engine(calm.ending_at()), [request(1, s)]))) for s in range(5)}
    assert len(answers) == 5


def test_an_answer_does_not_depend_on_what_else_is_asked(calm: Pair, engine: Engine) -> None:
    together = run(engine, [request(1), request(2), request(3)])
    for request_id in (1, 2, 3):
        alone = run(Engine(calm.ending_at()), [request(request_id)])
        assert timeless(of(together, request_id)) == timeless(alone)


def test_requests_are_answered_one_after_another(engine: Engine) -> None:
    events = run(engine, [request(3), request(1), request(2)])
    assert ids(events) == [3, 1, 2]
    for earlier, later in ((3, 1), (1, 2)):
        assert events.index(of(events, earlier)[-1]) < events.index(of(events, later)[0])


def test_a_request_may_come_while_another_runs(engine: Engine) -> None:
    events = [*engine.step([request(1)]), *engine.step([request(2)])]
    events += run(engine, [])
    assert ids(events) == [1, 2]
    assert sum(isinstance(event, Finished) for event in events) == 2


def test_a_running_request_is_forgotten_at_the_next_step(engine: Engine) -> None:
    before = [*engine.step([request(1), request(2)]), *engine.step([])]
    assert ids(before) == [1]
    after = run(engine, [Cancel(request_id=1)])
    assert ids(after) == [2]


def test_a_waiting_request_is_never_begun(engine: Engine) -> None:
    events = [*engine.step([request(1), request(2), request(3)])]
    events += run(engine, [Cancel(request_id=2)])
    assert ids(events) == [1, 3]


def test_a_request_can_be_cancelled_in_the_breath_it_came_in(engine: Engine) -> None:
    assert engine.step([request(1), Cancel(request_id=1)]) == ()
    assert not engine.busy


def test_cancelling_what_is_over_or_was_never_there_is_no_error(engine: Engine) -> None:
    run(engine, [Cancel(request_id=9), request(1)])
    assert engine.step([Cancel(request_id=1), Cancel(request_id=1)]) == ()


def test_nothing_of_a_request_is_left_when_it_is_over(engine: Engine) -> None:
    def caches() -> int:
        gc.collect()
        return sum(type(thing) is SequenceCache for thing in gc.get_objects())

    before = caches()
    engine.step([request(i) for i in range(10)])
    assert caches() == before + 10
    run(engine, [Cancel(request_id=i) for i in range(0, 10, 2)])
    assert caches() == before


def test_many_requests_half_of_them_cancelled_in_mid_canvas_leave_a_working_engine(
    calm: Pair, engine: Engine
) -> None:
    events = [*engine.step([request(i) for i in range(8)])]
    while engine.busy:
        stepped = [event for event in events if isinstance(event, Stepped)]
        running = stepped[-1].request_id if stepped else 0
        events += engine.step([Cancel(request_id=running)] if stepped and running % 2 else [])
    done = [event.request_id for event in events if isinstance(event, Finished)]
    assert done == [0, 2, 4, 6]
    again = run(engine, [request(1)])
    assert timeless(again) == timeless(run(Engine(calm.ending_at()), [request(1)]))


def test_a_long_prompt_is_read_in_chunks_and_reported_once(engine: Engine) -> None:
    prompt = random_prompt(2 * PREFILL_CHUNK_TOKENS + 5)
    sampling = replace(SAMPLING, max_output_tokens=32)
    frames = [engine.step([submit(prompt, sampling)]), engine.step([]), engine.step([])]
    assert frames[:2] == [(), ()]
    (encoded,) = frames[2]
    assert isinstance(encoded, Encoded)
    assert (encoded.canvas_index, encoded.token_count) == (None, len(prompt))


def test_a_request_that_outgrows_the_device_fails_alone(calm: Pair) -> None:
    model = calm.ending_at()

    def noise_for(request: Submit, canvas_index: int) -> Noise:
        if request.request_id == 1:
            raise torch.OutOfMemoryError("no room on the device")
        return CounterNoise(
            seed=0,
            canvas_index=canvas_index,
            length=32,
            vocabulary_size=512,
            steps=2,
            device=model.device,
        )

    engine = Engine(model, noise_for=noise_for)
    events = run(engine, [request(1), request(2)])
    assert of(events, 1)[-1] == Failed(request_id=1, message="no room on the device")
    assert isinstance(of(events, 2)[-1], Finished)
    assert not engine.busy
