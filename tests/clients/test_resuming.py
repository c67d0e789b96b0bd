"""A stream that breaks goes on by itself, against a small server that breaks wherever a test says.

Both clients share the rules, so most of these ask the blocking one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Unpack

import grpc
import pytest
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2
from refusing import refuse
from serving import Serve

from palimpsest import AsyncClient, Client, errors
from palimpsest.events import Commit, Completed, Event
from palimpsest.requests import Sampling
from palimpsest.v1 import canvas_pb2, generation_pb2
from palimpsest.v1.service_pb2_grpc import DiffusionServiceServicer

Response = generation_pb2.StreamGenerateResponse

C = 4
STEPS = 2
PATIENCE_S = 10.0
NOTHING_LEFT = error_details_pb2.BadRequest(
    field_violations=[error_details_pb2.BadRequest.FieldViolation(field="resume")]
)
IN_A_MINUTE = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=60))


class Breaking(DiffusionServiceServicer):
    """Answers with canvases of `lengths` tokens; breaks call after call as `breaks` says.

    A break is the number of messages before it; calls after the last of them do not break.
    """

    def __init__(
        self,
        lengths: tuple[int, ...],
        *breaks: int,
        hint: error_details_pb2.RetryInfo | None = None,
    ) -> None:
        self.requests: list[generation_pb2.StreamGenerateRequest] = []
        self.broken = threading.Event()
        self._lengths = lengths
        self._breaks = breaks
        self._details = () if hint is None else (hint,)

    def StreamGenerate(
        self, request: generation_pb2.StreamGenerateRequest, context: grpc.ServicerContext
    ) -> Iterator[Response]:
        call = len(self.requests)
        self.requests.append(request)
        first = request.resume.first_canvas_index
        if first == len(self._lengths):
            refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "nothing is left", NOTHING_LEFT)
        stop = self._breaks[call] if call < len(self._breaks) else None
        for sequence, message in enumerate(self._messages(first)[:stop], 1):
            message.sequence = sequence
            yield message
        if stop is not None:
            self.broken.set()
            refuse(context, grpc.StatusCode.UNAVAILABLE, "gone", *self._details)

    def Generate(
        self, request: generation_pb2.GenerateRequest, context: grpc.ServicerContext
    ) -> generation_pb2.GenerateResponse:
        call = len(self.requests)
        self.requests.append(generation_pb2.StreamGenerateRequest(input=request.input))
        if call < len(self._breaks):
            refuse(context, grpc.StatusCode.UNAVAILABLE, "gone", *self._details)
        return generation_pb2.GenerateResponse(text=f"call {call}")

    def _messages(self, first: int) -> list[Response]:
        started = generation_pb2.Started(
            seed=7, model="tiny", request_id="made up", canvas_length=C
        )
        messages = [Response(started=started)]
        for index, length in list(enumerate(self._lengths))[first:]:
            steps = range(1, STEPS + 1)
            messages += [Response(snapshot=snapshot(index, step)) for step in steps]
            messages.append(Response(commit=commit(index, length)))
        usage = generation_pb2.Usage(
            prompt_tokens=5,
            output_tokens=sum(self._lengths[first:]),
            canvases=len(self._lengths[first:]),
            denoising_steps=STEPS * len(self._lengths[first:]),
        )
        return [*messages, Response(completed=generation_pb2.Completed(usage=usage))]


def snapshot(index: int, step: int) -> canvas_pb2.CanvasSnapshot:
    return canvas_pb2.CanvasSnapshot(canvas_index=index, step=step)


def commit(index: int, length: int) -> canvas_pb2.CanvasCommit:
    tokens = [10 * index + place for place in range(length)]
    return canvas_pb2.CanvasCommit(
        canvas_index=index, steps=STEPS, token_ids=tokens, text_delta=f"{tokens}"
    )


def events_of(address: str, *, retries: int = 3, **sampling: Unpack[Sampling]) -> list[Event]:
    with Client(address, retries=retries) as client:
        return list(client.stream("hello", **sampling))


SHORT_END = (C, C, 2)
EMPTY_END = (C, 0)
FULL_END = (C, C)
"""Cut by a limit: only the server knows that nothing follows."""
ONE = (1,)


@pytest.mark.parametrize("lengths", [SHORT_END, EMPTY_END, FULL_END, ONE])
def test_wherever_a_stream_breaks_once_its_events_are_those_of_an_unbroken_one(
    serve: Serve, lengths: tuple[int, ...]
) -> None:
    unbroken = events_of(serve(Breaking(lengths)))
    assert [event.sequence for event in unbroken] == list(range(1, len(unbroken) + 1))
    for messages in range(len(unbroken) + 1):
        assert events_of(serve(Breaking(lengths, messages))) == unbroken


@pytest.mark.parametrize("messages", [0, 2, 4, 6, 10])
async def test_the_asyncio_client_s_stream_goes_on_in_the_same_way(
    serve: Serve, messages: int
) -> None:
    unbroken = events_of(serve(Breaking(SHORT_END)))
    async with AsyncClient(serve(Breaking(SHORT_END, messages))) as client:
        assert [event async for event in client.stream("hello")] == unbroken


def test_the_rest_is_asked_for_with_what_has_arrived_and_the_seed_in_use(serve: Serve) -> None:
    breaking = Breaking(SHORT_END, 8)
    events_of(serve(breaking), max_output_tokens=20)
    first, second = breaking.requests
    assert not first.HasField("resume")
    assert not first.input.sampling.HasField("seed")
    assert second.resume.first_canvas_index == 2
    assert list(second.resume.committed_token_ids) == [0, 1, 2, 3, 10, 11, 12, 13]
    # the same answer of the same model, under the name that the caller was told
    first.input.sampling.seed, first.input.model, first.input.request_id = 7, "tiny", "made up"
    assert second.input == first.input
    assert second.preview == first.preview


def test_before_the_first_commit_the_same_is_asked_again(serve: Serve) -> None:
    breaking = Breaking(SHORT_END, 0)
    events_of(serve(breaking))
    assert breaking.requests[0] == breaking.requests[1]


def test_a_stream_that_comes_further_may_break_any_number_of_times(serve: Serve) -> None:
    lengths = (C,) * 8 + (1,)
    after_each_commit = [1 + STEPS + 1] * 8
    events = events_of(serve(Breaking(lengths, *after_each_commit)), retries=1)
    assert events == events_of(serve(Breaking(lengths)))


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_stream_that_comes_no_further_is_given_up(serve: Serve, retries: int) -> None:
    # after a commit, and then each time in the middle of the next canvas
    breaking = Breaking(SHORT_END, 5, *[2] * 10)
    with pytest.raises(errors.Unavailable, match="gone"):
        events_of(serve(breaking), retries=retries)
    assert len(breaking.requests) == 1 + retries


def test_an_answer_that_ended_with_its_last_canvas_is_asked_for_its_end_alone(serve: Serve) -> None:
    breaking = Breaking(FULL_END, 1 + 2 * (STEPS + 1))
    *_, completed = events_of(serve(breaking))
    assert [request.resume.first_canvas_index for request in breaking.requests] == [0, 2, 1]
    assert isinstance(completed, Completed)
    assert completed.usage.output_tokens == 2 * C


def test_a_stream_that_breaks_behind_its_end_is_not_asked_for_again(serve: Serve) -> None:
    breaking = Breaking(ONE, 1 + STEPS + 1 + 1)
    assert isinstance(events_of(serve(breaking), retries=0)[-1], Completed)
    assert len(breaking.requests) == 1


def test_several_candidates_are_not_taken_up(serve: Serve) -> None:
    breaking = Breaking(SHORT_END, 5)
    with pytest.raises(errors.Unavailable):
        events_of(serve(breaking), candidate_count=2)
    assert len(breaking.requests) == 1


def test_a_wait_that_the_timeout_does_not_allow_is_not_begun(serve: Serve) -> None:
    breaking = Breaking(SHORT_END, 5, hint=IN_A_MINUTE)
    with Client(serve(breaking), timeout_s=30.0) as client, pytest.raises(errors.Unavailable):
        list(client.stream("hello"))
    assert len(breaking.requests) == 1


def test_closing_a_stream_ends_its_wait_for_a_further_call(serve: Serve) -> None:
    breaking = Breaking(SHORT_END, 1, hint=IN_A_MINUTE)
    events: list[Event] = []
    with Client(serve(breaking)) as client:
        stream = client.stream("hello")
        reader = threading.Thread(target=lambda: events.extend(stream))
        reader.start()
        assert breaking.broken.wait(PATIENCE_S)
        stream.close()
        reader.join(PATIENCE_S)
        assert not reader.is_alive()
    assert [event for event in events if isinstance(event, Commit)] == []
    assert len(breaking.requests) == 1


def test_a_stream_of_a_client_that_was_closed_is_cancelled(serve: Serve) -> None:
    client = Client(serve(Breaking(SHORT_END, 5)))
    stream = client.stream("hello")
    for event in stream:
        if isinstance(event, Commit):
            break
    client.close()
    with pytest.raises(errors.Cancelled):
        list(stream)


def test_a_call_for_a_whole_answer_starts_over(serve: Serve) -> None:
    breaking = Breaking(SHORT_END, 0, 0)
    with Client(serve(breaking)) as client:
        assert client.generate("hello").text == "call 2"
    assert breaking.requests[0] == breaking.requests[2]


async def test_a_call_for_a_whole_answer_is_given_up_after_its_retries(serve: Serve) -> None:
    breaking = Breaking(SHORT_END, *[0] * 10)
    address = serve(breaking)
    with Client(address, retries=1) as client, pytest.raises(errors.Unavailable):
        client.generate("hello")
    assert len(breaking.requests) == 2
    async with AsyncClient(address, retries=2) as aio:
        with pytest.raises(errors.Unavailable):
            await aio.generate("hello")
    assert len(breaking.requests) == 5
