"""The engine over many requests: company, order, cancellation, failure, what a seed promises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from pairs import Pair
from replay import answer, ending, random_prompt, run, submit
from torch import Tensor

from palimpsest.engine.commands import Cancel, CanvasPlan, Command, Submit
from palimpsest.engine.engine import Engine
from palimpsest.engine.events import (
    Encoded,
    Event,
    Failed,
    Finished,
    LoadFailed,
    Loading,
    Ready,
    Report,
    Stepped,
)
from palimpsest.engine.loaded_model import LoadedModel
from palimpsest.engine.noise import CounterNoise, CounterStep, NoiseKey
from palimpsest.engine.pages import PAGE_TOKENS
from palimpsest.engine.sampling import MAX_SEED, Sampling

SAMPLING = Sampling(max_output_tokens=64, seed=7, max_denoising_steps=2)
PROMPT = random_prompt(20)


@pytest.fixture
def engine(calm: Pair) -> Engine:
    return Engine(calm.ending_at())


def request(request_id: int, seed: int = 7) -> Submit:
    prompt = random_prompt(20 + 3 * request_id, seed=request_id)
    return submit(prompt, replace(SAMPLING, seed=seed), request_id=request_id)


def one_by_one(model: LoadedModel) -> LoadedModel:
    """The model with room for a single request at a time."""
    return replace(model, capacity=replace(model.capacity, max_num_seqs=1))


def of(events: Sequence[Event], request_id: int) -> list[Event]:
    return [
        e
        for e in events
        if not isinstance(e, Ready | LoadFailed | Loading | Report) and e.request_id == request_id
    ]


def ids(events: Sequence[Event]) -> list[int]:
    """Which requests were heard of, in order, each once."""
    named = [e for e in events if not isinstance(e, Ready | LoadFailed | Loading | Report)]
    return list(dict.fromkeys(event.request_id for event in named))


def comparable(events: Sequence[Event]) -> list[Event]:
    """Without what depends on the moment and on the company: times and batch sizes."""
    kept: list[Event] = []
    for event in events:
        changes = {
            name: 0
            for name in ("start_ns", "end_ns", "queue_ns", "batch_size")
            if hasattr(event, name)
        }
        kept.append(replace(event, **changes) if changes else event)  # type: ignore[type-var]
    return kept


def held_pages(engine: Engine) -> int:
    return sum(pool.held for pool in engine.scheduler.pages.pools.values())


def test_without_requests_a_step_does_nothing(engine: Engine) -> None:
    assert not engine.busy
    assert engine.step([]) == ()


@pytest.mark.parametrize("seed", [0, 2**32, MAX_SEED])
def test_the_same_seed_gives_the_same_events_every_time(calm: Pair, seed: int) -> None:
    runs = [comparable(run(Engine(calm.ending_at()), [request(1, seed)])) for _ in range(3)]
    assert runs[0] == runs[1] == runs[2]


def test_another_seed_gives_another_answer(calm: Pair) -> None:
    answers = {tuple(answer(run(Engine(calm.ending_at()), [request(1, s)]))) for s in range(5)}
    assert len(answers) == 5


def test_requests_share_their_passes(engine: Engine) -> None:
    events = engine.step([request(1), request(2), request(3)])
    stepped = [event for event in events if isinstance(event, Stepped)]
    assert [event.request_id for event in stepped] == [1, 2, 3]
    assert {event.batch_size for event in stepped} == {3}
    assert len({(event.start_ns, event.end_ns) for event in stepped}) == 1


def test_requests_beyond_the_limit_wait_as_they_came(calm: Pair) -> None:
    engine = Engine(one_by_one(calm.ending_at()))
    events = run(engine, [request(3), request(1), request(2)])
    assert ids(events) == [3, 1, 2]
    for earlier, later in ((3, 1), (1, 2)):
        assert events.index(of(events, earlier)[-1]) < events.index(of(events, later)[0])


def test_one_share_with_many_requests_does_not_hold_back_another_with_one(calm: Pair) -> None:
    engine = Engine(one_by_one(calm.ending_at()))
    crowd = [replace(request(i), share="crowd") for i in range(5)]
    engine.step(crowd)
    assert ids(run(engine, [replace(request(9), share="one")])) == [0, 9, 1, 2, 3, 4]


def test_a_high_priority_is_begun_first(calm: Pair) -> None:
    engine = Engine(one_by_one(calm.ending_at()))
    engine.step([replace(request(i), priority=-1) for i in range(3)])
    assert ids(run(engine, [replace(request(9), priority=1)]))[:2] == [0, 9]


def test_a_freed_place_is_taken_at_the_next_step(calm: Pair) -> None:
    model = calm.ending_at()
    engine = Engine(replace(model, capacity=replace(model.capacity, max_num_seqs=2)))
    short = replace(request(1), sampling=replace(SAMPLING, max_output_tokens=32))
    frames = [engine.step([short, request(2), request(3)])]
    while engine.busy:
        frames.append(engine.step([]))
    ended = next(i for i, frame in enumerate(frames) if any(isinstance(e, Finished) for e in frame))
    assert 3 not in {request_id for frame in frames[: ended + 1] for request_id in ids(frame)}
    assert 3 in ids(frames[ended + 1])


def test_a_request_may_come_while_another_runs(engine: Engine) -> None:
    events = [*engine.step([request(1)]), *run(engine, [request(2)])]
    assert sum(isinstance(event, Finished) for event in events) == 2


def test_a_running_request_is_forgotten_at_the_next_step(engine: Engine) -> None:
    assert ids(engine.step([request(1), request(2)])) == [1, 2]
    assert ids(run(engine, [Cancel(request_id=1)])) == [2]


def test_a_waiting_request_is_never_begun(calm: Pair) -> None:
    engine = Engine(one_by_one(calm.ending_at()))
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
    engine.step([request(i) for i in range(10)])
    assert len(engine.sequences) == 10
    assert held_pages(engine) > 0
    run(engine, [Cancel(request_id=i) for i in range(0, 10, 2)])
    assert not engine.sequences
    assert held_pages(engine) == 0


def test_many_requests_half_of_them_cancelled_in_mid_canvas_leave_a_working_engine(
    calm: Pair, engine: Engine
) -> None:
    events = [*engine.step([request(i) for i in range(8)])]
    while engine.busy:
        running = {event.request_id for event in events if isinstance(event, Stepped)}
        events += engine.step([Cancel(request_id=i) for i in running if i % 2])
    done = {event.request_id for event in events if isinstance(event, Finished)}
    assert done == {0, 2, 4, 6}
    again = run(engine, [request(1)])
    assert answer(again) == answer(run(Engine(calm.ending_at()), [request(1)]))


def test_a_long_prompt_is_read_in_chunks_and_reported_once(engine: Engine) -> None:
    chunk = engine.model.capacity.prefill_tokens
    prompt = random_prompt(2 * chunk + 5)
    sampling = replace(SAMPLING, max_output_tokens=32)
    frames = [engine.step([submit(prompt, sampling)]), engine.step([]), engine.step([])]
    assert frames[:2] == [(), ()]
    encoded, stepped = frames[2]
    assert isinstance(encoded, Encoded)
    assert (encoded.canvas_index, encoded.token_count) == (None, len(prompt))
    assert isinstance(stepped, Stepped)


def test_the_steps_of_others_go_on_while_a_long_prompt_is_read(engine: Engine) -> None:
    chunk = engine.model.capacity.prefill_tokens
    engine.step([request(1)])
    long = submit(random_prompt(3 * chunk), replace(SAMPLING, max_output_tokens=32), request_id=2)
    assert ids(engine.step([long])) == [1]
    assert ids(engine.step([])) == [1]


class ShortOfMemory(CounterNoise):
    """Noise of a device on which only so many canvases fit, and none of a certain seed from a
    certain step on.
    """

    most, never, since = 2, 13, 0

    def step(self, keys: Sequence[NoiseKey], *, length: int) -> CounterStep:
        outgrown = any(key.seed == self.never and key.step >= self.since for key in keys)
        if len(keys) > self.most or outgrown:
            raise torch.OutOfMemoryError("no room on the device")
        return super().step(keys, length=length)


def short_of_memory(model: LoadedModel) -> Engine:
    noise = ShortOfMemory(length=32, vocabulary_size=512, device=model.device)
    return Engine(model, noise=noise)


def test_a_request_that_outgrows_the_device_fails_alone(calm: Pair) -> None:
    engine = short_of_memory(calm.ending_at())
    events = run(engine, [request(1), request(2, seed=13), request(3)])
    assert of(events, 2)[-1] == Failed(request_id=2, message="no room on the device")
    for request_id in (1, 3):
        alone = run(Engine(calm.ending_at()), [request(request_id)])
        assert comparable(of(events, request_id)) == comparable(alone)
    assert not engine.busy
    assert held_pages(engine) == 0


def test_what_does_not_fit_together_is_run_one_by_one(calm: Pair) -> None:
    events = run(short_of_memory(calm.ending_at()), [request(i) for i in range(5)])
    assert sum(isinstance(event, Finished) for event in events) == 5


def test_a_step_that_does_not_fit_leaves_those_that_were_taken_before_it(
    calm: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Canvases of another length take theirs later in the pass."""
    monkeypatch.setattr(ShortOfMemory, "since", SAMPLING.max_denoising_steps)
    narrow = replace(request(2, seed=13), canvas=CanvasPlan(canvas_length=16))
    engine = short_of_memory(calm.ending_at())
    events = run(engine, [request(1), narrow, request(3)])
    assert isinstance(failed := of(events, 2)[-1], Failed)
    assert failed.message == "out of memory: a step of the canvas does not fit on the device"
    for request_id in (1, 3):
        alone = run(Engine(calm.ending_at()), [request(request_id)])
        assert comparable(of(events, request_id)) == comparable(alone)
    assert held_pages(engine) == 0


class OnceShort:
    """An operation of torch that runs out of memory the first time."""

    def __init__(self, real: Callable[..., Tensor]) -> None:
        self._real, self.called = real, 0

    def __call__(self, *args: object, **options: object) -> Tensor:
        self.called += 1
        if self.called == 1:
            raise torch.OutOfMemoryError("no room on the device")
        return self._real(*args, **options)


@pytest.mark.parametrize(
    "asked",
    [
        replace(request(1), sampling=replace(SAMPLING, logprobs=2)),
        replace(request(1), labels=((5, 6), (7,)), canvas=CanvasPlan(read_only=True)),
    ],
    ids=["log-probabilities", "labels"],
)
def test_what_is_read_off_the_last_step_may_run_out_of_memory_once(
    calm: Pair, monkeypatch: pytest.MonkeyPatch, asked: Submit
) -> None:
    commands: list[Command] = [asked, request(2)]
    wanted = run(Engine(calm.ending_at()), commands)
    short = OnceShort(torch.Tensor.log_softmax)
    # a plain function, so that it becomes a method
    monkeypatch.setattr(torch.Tensor, "log_softmax", lambda *a, **k: short(*a, **k))
    assert comparable(run(Engine(calm.ending_at()), commands)) == comparable(wanted)
    assert short.called > 1


def test_a_request_that_there_is_no_memory_to_begin_fails_alone(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.step([request(1)])
    monkeypatch.setattr(torch, "zeros", OnceShort(torch.zeros))
    biased = replace(request(2), sampling=replace(SAMPLING, logit_bias=((5, 1.0),)))
    events = run(engine, [biased])
    assert of(events, 2) == [Failed(request_id=2, message="no room on the device")]
    assert isinstance(of(events, 1)[-1], Finished)


def test_a_prompt_asked_before_is_found_in_the_cache(engine: Engine) -> None:
    prompt = random_prompt(3 * PAGE_TOKENS + 9)
    first, second = (run(engine, [submit(prompt, SAMPLING, request_id=i)]) for i in (1, 2))
    told = next(event for event in second if isinstance(event, Encoded))
    assert (told.token_count, told.cached_count) == (9, 3 * PAGE_TOKENS)
    assert [ending(e).usage.cached_prompt_tokens for e in (first, second)] == [0, 3 * PAGE_TOKENS]
    assert answer(first) == answer(second)
