"""Clients that neither send nor read: their calls end when the server's limit is over."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from urllib.parse import urlsplit

from browser_streams import chat_stream, connect_stream
from calls import COUNT, asking
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from otlp_receiver import attributes
from traced import MAX_REQUEST_S, Traced

from palimpsest.server import span_names as names
from palimpsest.server.call import GRACE_S
from palimpsest.v1 import generation_pb2, sampling_pb2

ENDS_WITHIN_S = MAX_REQUEST_S + GRACE_S + 5
MUCH = sampling_pb2.SamplingParameters(seed=3, candidate_count=16, logprobs=20)
"""More than the buffers on its way hold."""


async def test_a_call_whose_reader_stopped_reading_ends_at_the_limit(traced: Traced) -> None:
    port = urlsplit(traced.server.url).port
    assert port is not None
    stalled = traced.stream("stalled", MUCH, prompt=COUNT)
    assert next(stalled).HasField("started")
    asked = asking(COUNT, MUCH)
    asked.request_id = "stalled over connect"
    chat = {
        "messages": [{"role": "user", "content": COUNT}],
        "n": MUCH.candidate_count,
        "logprobs": True,
        "top_logprobs": MUCH.logprobs,
        "seed": MUCH.seed,
    }
    async with AsyncExitStack() as stack:
        request = generation_pb2.StreamGenerateRequest(input=asked)
        for stream in (connect_stream(port, request), chat_stream(port, chat)):
            events = await stack.enter_async_context(stream)
            await anext(events)
        waits = (
            partial(traced.receiver.request_span, "stalled"),
            partial(traced.receiver.request_span, "stalled over connect"),
            partial(traced.receiver.wait_for, answers_chat),
        )
        spans = [await asyncio.to_thread(wait) for wait in waits]
    for span in spans:
        assert attributes(span)[names.ERROR_TYPE] == "DEADLINE_EXCEEDED"
        assert span.end_time_unix_nano - span.start_time_unix_nano < ENDS_WITHIN_S * 1e9
    assert "Traceback" not in traced.server.log


def answers_chat(span: Span) -> bool:
    told = attributes(span)
    return told.get(names.HTTP_ROUTE) == "/v1/chat/completions" and names.GEN_AI_MODEL in told


async def test_a_body_that_does_not_come_is_waited_for_no_longer_than_the_limit(
    traced: Traced,
) -> None:
    chat = begun(traced, "/v1/chat/completions", "application/json")
    connect = begun(traced, "/palimpsest.v1.DiffusionService/Generate", "application/proto")
    answers = await asyncio.wait_for(asyncio.gather(chat, connect), ENDS_WITHIN_S)
    assert answers[0].startswith(b"HTTP/1.1 504")
    assert b"the request did not come in time" in answers[0]
    assert b"canceled" in answers[1]
    assert "Traceback" not in traced.server.log


async def begun(traced: Traced, path: str, kind: str) -> bytes:
    """The answer to a request whose body stops in its middle."""
    address = urlsplit(traced.server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    head = f"POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: {kind}\r\n"
    writer.write(f"{head}content-length: 1000\r\n\r\n{{".encode())
    try:
        return await reader.read()
    finally:
        writer.close()
