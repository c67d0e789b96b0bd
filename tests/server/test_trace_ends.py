"""The status that a request's span tells, for each way that a stream can end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import grpc
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from otlp_receiver import attributes
from traced import ENDLESS, MAX_REQUEST_S, PARENT_ID, TRACE_ID, Traced, duration_ns

from palimpsest.server import span_names as names
from palimpsest.v1 import sampling_pb2

CALLER = """
import sys
from palimpsest import Client
endless = {"max_denoising_steps": 1_000, "confidence_threshold": 0.0}
client = Client(sys.argv[1])
metadata = {"traceparent": sys.argv[2]}
for _ in client.stream("a", seed=7, metadata=metadata, **endless):
    print("an event", flush=True)
"""


def test_a_cancelled_request_is_told_apart_and_is_no_error(traced: Traced) -> None:
    stream = traced.stream("cancelled", ENDLESS)
    assert next(stream).HasField("started")
    assert next(stream).HasField("snapshot")
    assert isinstance(stream, grpc.Call)
    stream.cancel()
    root = traced.receiver.request_span("cancelled")
    assert attributes(root)[names.RPC_STATUS] == "CANCELLED"
    assert root.status.code == Status.STATUS_CODE_UNSET
    kinds = {span.name for span in traced.receiver.children(root)}
    assert names.CANVAS_SPAN in kinds, "what was done is shown"


def test_a_caller_whose_process_was_killed_has_cancelled(traced: Traced) -> None:
    trace_id = TRACE_ID[::-1]
    traceparent = f"00-{trace_id}-{PARENT_ID}-01"
    command = [sys.executable, "-c", CALLER, traced.server.address, traceparent]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline(), "the stream runs"
        caller.kill()
    root = traced.receiver.wait_for(
        lambda span: span.trace_id.hex() == trace_id and span.kind == Span.SPAN_KIND_SERVER
    )
    assert attributes(root)[names.RPC_STATUS] == "CANCELLED"
    assert root.status.code == Status.STATUS_CODE_UNSET


def test_the_callers_deadline_makes_the_span_an_error(traced: Traced) -> None:
    with pytest.raises(grpc.RpcError):
        list(traced.stream("late", ENDLESS, timeout=0.5))
    root = traced.receiver.request_span("late")
    assert attributes(root)[names.ERROR_TYPE] == "DEADLINE_EXCEEDED"
    assert root.status.code == Status.STATUS_CODE_ERROR


def test_the_servers_own_limit_ends_a_request_without_deadline(traced: Traced) -> None:
    with pytest.raises(grpc.RpcError, match="longer than its deadline or the server allows"):
        list(traced.stream("unbounded", ENDLESS))
    root = traced.receiver.request_span("unbounded")
    assert attributes(root)[names.ERROR_TYPE] == "DEADLINE_EXCEEDED"
    assert duration_ns(root) >= MAX_REQUEST_S * 1e9


def test_a_refused_request_is_the_callers_error_and_still_shown(traced: Traced) -> None:
    with pytest.raises(grpc.RpcError):
        list(traced.stream("refused", sampling_pb2.SamplingParameters(temperature=-1.0)))
    root = traced.receiver.request_span("refused")
    assert attributes(root)[names.RPC_STATUS] == "INVALID_ARGUMENT"
    assert root.status.code == Status.STATUS_CODE_UNSET


def test_a_crash_of_the_engine_is_an_error_of_every_request_in_it(traced: Traced) -> None:
    stream = traced.stream("crashed", ENDLESS)
    assert next(stream).HasField("started")
    assert next(stream).HasField("snapshot")
    (engine,) = traced.server.engine_pids()
    os.kill(engine, signal.SIGKILL)
    with pytest.raises(grpc.RpcError):
        list(stream)
    root = traced.receiver.request_span("crashed")
    assert attributes(root)[names.ERROR_TYPE] == "UNAVAILABLE"
    assert root.status.code == Status.STATUS_CODE_ERROR
    kinds = {span.name for span in traced.receiver.children(root)}
    assert names.CANVAS_SPAN in kinds, "what was done is shown"
