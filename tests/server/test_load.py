"""Slow readers, deadlines, cancellations and full queues, on a real server."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Iterator
from concurrent import futures

import grpc
import pytest
from calls import (
    COUNT,
    NEVER_CONVERGES,
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
from server_process import ServerProcess, Start

from palimpsest.v1 import canvas_pb2, sampling_pb2


def test_a_reader_that_does_not_read_misses_drafts_and_no_commit(server: ServerProcess) -> None:
    sampling = sampling_pb2.SamplingParameters(
        seed=1, max_denoising_steps=150, confidence_threshold=0.0, max_output_tokens=64
    )
    preview = canvas_pb2.PreviewOptions(
        mode=TOKENS, max_rate_hz=1_000, include_confidence=True, include_token_texts=True
    )
    unread = stream(server, asking(REVERSE, sampling), preview)
    # Requests are answered one after the other: when this one is, the unread one has ended.
    generate(server, asking(REVERSE))
    events = list(unread)
    assert kinds(events).count("commit") == 1
    assert kinds(events)[-2:] == ["commit", "completed"]
    assert 0 < kinds(events).count("snapshot") < 150
    assert events[-1].sequence == 153


def test_drafts_are_paced_and_the_newest_is_shown(server: ServerProcess) -> None:
    preview = canvas_pb2.PreviewOptions(mode=TOKENS, max_rate_hz=5.0)
    steps = []
    events = stream(server, asking(REVERSE, NEVER_CONVERGES), preview)
    for event in events:
        if event.HasField("snapshot"):
            steps.append(event.snapshot.step)
        if len(steps) == 3:
            break
    cancellable(events).cancel()
    assert steps[0] == 1
    assert steps[2] - steps[1] > 1


def test_a_deadline_frees_the_engine_for_the_next_request(server: ServerProcess) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        list(stream(server, asking(REVERSE, NEVER_CONVERGES), timeout=0.5))
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert generate(server, asking(REVERSE)).text
    assert "status=DEADLINE_EXCEEDED" in server.log


def test_sixty_four_streams_share_the_passes_and_get_what_they_get_alone(
    server: ServerProcess, start: Start
) -> None:
    crowded = start("--max-num-seqs", "64")
    asked = [
        asking(
            (REVERSE, COUNT)[seed % 2],
            sampling_pb2.SamplingParameters(seed=seed, max_output_tokens=100),
        )
        for seed in range(64)
    ]
    preview = canvas_pb2.PreviewOptions(mode=TOKENS, max_rate_hz=1_000)
    streams = [stream(crowded, one, preview) for one in asked]
    with futures.ThreadPoolExecutor(len(streams)) as readers:
        answers = list(readers.map(list, streams))
    alone = [list(stream(server, one)) for one in asked]
    assert [text_of(events) for events in answers] == [text_of(events) for events in alone]
    sizes = {event.snapshot.timing.batch_size for events in answers for event in events}
    assert 16 < max(sizes) <= 64


def text_of(events: list[Event]) -> str:
    return "".join(event.commit.text_delta for event in events)


@contextlib.contextmanager
def one_stream_too_many(server: ServerProcess) -> Iterator[grpc.Call]:
    """Sixty-two endless streams at once, one more than there are places; gives the refused one."""
    ended: queue.SimpleQueue[grpc.Call] = queue.SimpleQueue()
    asked = asking(REVERSE, NEVER_CONVERGES)
    calls = [cancellable(stream(server, asked)) for _ in range(62)]
    for call in calls:
        call.add_done_callback(ended.put)
    try:
        yield ended.get(timeout=60)
        assert ended.empty()
    finally:
        for call in calls:
            call.cancel()


def test_a_full_queue_refuses_at_once_and_says_when_to_come_back(server: ServerProcess) -> None:
    with one_stream_too_many(server) as refused:
        status = details_of(refused)
    assert status.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    retry = error_details_pb2.RetryInfo()
    assert found(status, retry)
    assert retry.retry_delay.ToMilliseconds() > 0
    assert generate(server, asking(REVERSE)).text


def test_fifty_streams_half_of_them_cancelled_in_mid_canvas_leave_nothing_behind(
    server: ServerProcess,
) -> None:
    engine = server.engine_pids()
    preview = canvas_pb2.PreviewOptions(mode=canvas_pb2.PREVIEW_MODE_METADATA)
    endless, ending = asking(REVERSE, NEVER_CONVERGES), asking(REVERSE)
    endless.request_id = ending.request_id = "one-of-fifty"
    streams = [stream(server, ending if i % 2 else endless, preview) for i in range(50)]
    # The engine takes them in its own order; every endless one has to be ended for the next.
    with futures.ThreadPoolExecutor(len(streams)) as readers:
        for events in streams[::2]:
            readers.submit(cancel_at_first_snapshot, events)
        ends = list(readers.map(lambda events: kinds(list(events))[-1], streams[1::2]))
    assert ends == ["completed"] * 25
    assert generate(server, asking(REVERSE)).text

    assert server.engine_pids() == engine
    ended = [line for line in server.log.splitlines() if "request_id=one-of-fifty " in line]
    assert sum("status=CANCELLED" in line for line in ended) == 25
    assert sum("status=OK" in line for line in ended) == 25
    with one_stream_too_many(server) as refused:
        assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED, "every place is free again"
    assert generate(server, asking(REVERSE)).text


def cancel_at_first_snapshot(events: Iterator[Event]) -> None:
    for event in events:
        if event.HasField("snapshot"):
            cancellable(events).cancel()
            return
