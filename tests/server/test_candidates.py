"""Several answers to one request: each is what its seed gives alone, and they end together."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence

import grpc
import pytest
from calls import (
    COUNT,
    REVERSE,
    TOKENS,
    Event,
    asking,
    cancellable,
    details_of,
    found,
    generate,
    kinds,
    stream,
)
from google.rpc import error_details_pb2
from scripted_generator import generating
from scripted_worker import CRASH, ENDLESS, FAIL_OR_ENDLESS
from server_process import ServerProcess, Start

from palimpsest.engine.api import EngineError, EngineStopped, Overloaded
from palimpsest.server.call import Call
from palimpsest.server.exchange import AnswerEvent, Generation, Started
from palimpsest.server.generation import Generator
from palimpsest.server.prompts import TokenPrompt
from palimpsest.v1 import canvas_pb2, generation_pb2, sampling_pb2

LAST_SEED = 2**64 - 1
POEM = "write a poem about the sea"
"""Nothing that the model was taught: what comes of it depends on the seed."""

SHORT = {"max_output_tokens": 100, "max_denoising_steps": 1}


def sampling(
    count: int | None = None, *, seed: int = 7, **more: float
) -> sampling_pb2.SamplingParameters:
    return sampling_pb2.SamplingParameters(seed=seed, candidate_count=count, **more)  # type: ignore[arg-type]


def event_of(event: Event) -> canvas_pb2.CanvasSnapshot | canvas_pb2.CanvasCommit | None:
    """What the event says of a canvas, if it does."""
    kind = event.WhichOneof("event")
    return getattr(event, kind) if kind in ("snapshot", "commit") else None


def tokens_of(events: Sequence[Event], candidate: int = 0) -> list[int]:
    commits = (event.commit for event in events if event.HasField("commit"))
    return [
        token
        for commit in commits
        if commit.candidate_index == candidate
        for token in commit.token_ids
    ]


@pytest.fixture(scope="module")
def crowded(start: Start) -> ServerProcess:
    """Runs all candidates of a request in the same passes."""
    return start("--max-num-seqs", "16")


@pytest.mark.parametrize("seed", [7, LAST_SEED])
def test_each_candidate_is_what_its_seed_gives_alone(
    server: ServerProcess, crowded: ServerProcess, seed: int
) -> None:
    answer = generate(crowded, asking(POEM, sampling(3, seed=seed, **SHORT)))
    seeds = [(seed + index) % 2**64 for index in range(3)]
    assert [answer.seed, *(more.seed for more in answer.more_candidates)] == seeds
    for own, candidate in zip(seeds, [answer, *answer.more_candidates], strict=True):
        alone = generate(server, asking(POEM, sampling(seed=own, **SHORT)))
        assert candidate.token_ids == alone.token_ids
        assert candidate.text == alone.text
        assert candidate.finish_reason == alone.finish_reason
        assert candidate.usage.output_tokens == alone.usage.output_tokens
        assert candidate.usage.denoising_steps == alone.usage.denoising_steps
        assert candidate.speeds.output_tokens_per_second > 0
        assert not alone.more_candidates


def test_a_stream_brings_every_candidate_in_its_order_and_counts_over_all(
    crowded: ServerProcess,
) -> None:
    preview = canvas_pb2.PreviewOptions(mode=TOKENS, max_rate_hz=1_000)
    events = list(stream(crowded, asking(COUNT, sampling(3)), preview))
    assert kinds(events).count("started") == 1
    assert events[0].started.seed == 7
    sequences = [event.sequence for event in events]
    assert sequences == sorted(set(sequences))
    ends = [event.completed.candidate_index for event in events if event.HasField("completed")]
    assert sorted(ends) == [0, 1, 2]
    assert events[-1].HasField("completed")
    for candidate in range(3):
        said = [each for event in events if (each := event_of(event)) is not None]
        own = [each for each in said if each.candidate_index == candidate]
        reached = [
            (each.canvas_index, each.step if isinstance(each, canvas_pb2.CanvasSnapshot) else 1_000)
            for each in own
        ]
        assert reached == sorted(reached), "no snapshot follows the commit of its canvas"
    sizes = {each.timing.batch_size for event in events if (each := event_of(event)) is not None}
    assert 1 < max(sizes) <= 3, "they run at once"


def test_drafts_of_every_candidate_are_shown(crowded: ServerProcess) -> None:
    preview = canvas_pb2.PreviewOptions(mode=TOKENS, max_rate_hz=1_000)
    shown: set[int] = set()
    # a reader that is slow may miss all drafts of an answer
    while shown != {0, 1, 2}:
        for event in stream(crowded, asking(COUNT, sampling(3)), preview):
            if event.HasField("snapshot"):
                shown.add(event.snapshot.candidate_index)


def test_each_candidate_is_denoised_from_the_noise_of_its_own_seed(
    server: ServerProcess, crowded: ServerProcess
) -> None:
    events = list(stream(crowded, asking(POEM, sampling(3, **SHORT))))
    together = [first_entropy(events, candidate) for candidate in range(3)]
    for candidate, entropy in enumerate(together):
        alone = list(stream(server, asking(POEM, sampling(seed=7 + candidate, **SHORT))))
        # its last bits depend on the rows of a pass
        assert entropy == pytest.approx(first_entropy(alone), rel=1e-4)
    assert len({round(entropy, 4) for entropy in together}) == 3


def first_entropy(events: Sequence[Event], candidate: int = 0) -> float:
    """Of the last step of an answer's first canvas."""
    commits = (event.commit for event in events if event.HasField("commit"))
    return next(c.mean_entropy for c in commits if c.candidate_index == candidate)


def test_without_drafts_the_numbers_of_a_stream_have_no_gaps(server: ServerProcess) -> None:
    events = list(stream(server, asking(COUNT, sampling(4))))
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))


def test_a_stream_and_a_call_give_the_same_candidates(crowded: ServerProcess) -> None:
    events = list(stream(crowded, asking(COUNT, sampling(3))))
    answer = generate(crowded, asking(COUNT, sampling(3)))
    for index, candidate in enumerate([answer, *answer.more_candidates]):
        assert tokens_of(events, index) == list(candidate.token_ids) != []


def test_one_candidate_is_an_answer_like_any_other(server: ServerProcess) -> None:
    events = list(stream(server, asking(COUNT, sampling(1))))
    plain = list(stream(server, asking(COUNT, sampling())))
    assert tokens_of(events) == tokens_of(plain)
    assert [event.sequence for event in events] == [event.sequence for event in plain]
    assert kinds(events) == kinds(plain)


def test_candidates_whose_seed_the_server_draws_count_up_from_it(server: ServerProcess) -> None:
    unseeded = sampling_pb2.SamplingParameters(candidate_count=2)
    answer = generate(server, asking(REVERSE, unseeded))
    assert answer.more_candidates[0].seed == (answer.seed + 1) % 2**64
    again = generate(server, asking(REVERSE, sampling(seed=answer.more_candidates[0].seed)))
    assert again.token_ids == answer.more_candidates[0].token_ids


def test_a_stop_sequence_ends_each_candidate_by_itself(server: ServerProcess) -> None:
    stopping = sampling(3)
    stopping.stop_sequences.append(" 7")
    events = list(stream(server, asking(COUNT, stopping)))
    reasons = [e.completed.finish_reason for e in events if e.HasField("completed")]
    assert reasons == [generation_pb2.FINISH_REASON_STOP_SEQUENCE] * 3
    assert [event.sequence for event in events] == list(range(1, 8))


def test_sixteen_candidates_are_answered(crowded: ServerProcess) -> None:
    answer = generate(crowded, asking(REVERSE, sampling(16, max_output_tokens=8)))
    assert len(answer.more_candidates) == 15
    assert all(candidate.usage.output_tokens for candidate in answer.more_candidates)


def test_cancelling_ends_all_candidates(start: Start) -> None:
    small = start("--max-num-seqs", "2", "--max-queue", "1")
    endless = sampling(3, max_denoising_steps=1_000, confidence_threshold=0.0)
    preview = canvas_pb2.PreviewOptions(mode=canvas_pb2.PREVIEW_MODE_METADATA)
    for _ in range(3):
        events = stream(small, asking(REVERSE, endless), preview)
        while not next(events).HasField("snapshot"):
            pass
        cancellable(events).cancel()
        # it takes every place that there is
        assert len(generate_once_there_is_room(small, sampling(3)).more_candidates) == 2


def generate_once_there_is_room(
    server: ServerProcess, settings: sampling_pb2.SamplingParameters
) -> generation_pb2.GenerateResponse:
    """A cancelled call is gone soon, but not yet when the next one comes."""
    while True:
        try:
            return generate(server, asking(REVERSE, settings))
        except grpc.RpcError as error:
            assert details_of(error).code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]


def test_a_call_that_does_not_get_all_its_places_gets_none(start: Start) -> None:
    small = start("--max-num-seqs", "1", "--max-queue", "2")
    for _ in range(3):
        with pytest.raises(grpc.RpcError) as caught:
            generate(small, asking(REVERSE, sampling(4)))
        status = details_of(caught.value)
        assert status.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
        assert found(status, error_details_pb2.RetryInfo())
        assert len(generate(small, asking(REVERSE, sampling(3))).more_candidates) == 2


def test_the_deadline_ends_all_candidates(server: ServerProcess) -> None:
    endless = sampling(3, max_denoising_steps=1_000, confidence_threshold=0.0)
    with pytest.raises(grpc.RpcError) as caught:
        list(stream(server, asking(REVERSE, endless), timeout=0.5))
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert generate(server, asking(REVERSE)).text


@pytest.mark.parametrize("count", [0, 17, 2**32 - 1])
def test_a_count_out_of_bounds_is_refused_by_field_value_and_bound(
    server: ServerProcess, count: int
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        generate(server, asking(REVERSE, sampling(count)))
    status = details_of(caught.value)
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert status.message == f"input.sampling.candidate_count: {count} is outside 1 to 16"
    bad = error_details_pb2.BadRequest()
    assert found(status, bad)
    assert bad.field_violations[0].field == "input.sampling.candidate_count"


def test_several_candidates_are_not_taken_up(server: ServerProcess) -> None:
    point = generation_pb2.ResumePoint(first_canvas_index=1, committed_token_ids=[5] * 64)
    request = generation_pb2.StreamGenerateRequest(input=asking(COUNT, sampling(2)), resume=point)
    with pytest.raises(grpc.RpcError) as caught:
        list(server.stub.StreamGenerate(request))
    status = details_of(caught.value)
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert status.message == (
        "input.sampling.candidate_count: 2 answers cannot be taken up at once, at most 1"
    )


# What only an engine that does as it is told can show


def answers(
    generator: Generator, order: int, *, count: int = 3
) -> AsyncGenerator[AnswerEvent, None]:
    wanted = Generation(
        model="",
        prompt=TokenPrompt(token_ids=(order,)),
        sampling={"seed": 0},
        preview=None,
        candidate_count=count,
    )
    call = Call(method="test", request_id="r", time_limit_s=100.0, trace=None)
    return generator.generate(wanted, call)


async def test_an_error_of_one_candidate_ends_the_call_and_cancels_the_others() -> None:
    async with generating(max_queue=2) as (engine, generator):
        with pytest.raises(EngineError, match="the device was lost"):
            async for _ in answers(generator, FAIL_OR_ENDLESS):
                pass
        assert engine.places_taken == 0
        # the engine gets to this only if the endless one was cancelled
        events = [event async for event in answers(generator, 2)]
    assert sum(isinstance(event, Started) for event in events) == 1


async def test_a_crash_ends_all_candidates_and_frees_their_places() -> None:
    async with generating(max_queue=2) as (engine, generator):
        with pytest.raises(EngineStopped):
            async for _ in answers(generator, CRASH):
                pass
        assert engine.places_taken == 0


async def test_closing_early_frees_all_places() -> None:
    async with generating(max_queue=2) as (engine, generator):
        async with contextlib.aclosing(answers(generator, ENDLESS)) as events:
            assert isinstance(await anext(events), Started)
            assert engine.places_taken == 3
        assert engine.places_taken == 0
        assert len([event async for event in answers(generator, 1)]) == 1 + 3 * 2


async def test_places_that_a_refused_call_could_have_had_are_free() -> None:
    async with generating(max_queue=2) as (engine, generator):
        with pytest.raises(Overloaded):
            await anext(answers(generator, 1, count=4))
        assert engine.places_taken == 0
