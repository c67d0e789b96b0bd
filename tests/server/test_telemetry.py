"""The exporter: everything is sent at shutdown, and a dead collector delays nobody."""

from __future__ import annotations

import gc
import socket
import subprocess
import sys
import time

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from otlp_receiver import receiving

from palimpsest.engine.api import Stepped
from palimpsest.server.telemetry import MAX_QUEUED_SPANS, Telemetry
from palimpsest.server.tracing import RequestTrace, Tracing

BATCH_SPANS = 512
"""In the exporter's hands at most."""


def traced_request(telemetry: Telemetry, request_id: str, *, steps: int) -> None:
    trace = RequestTrace(Tracing(tracer=telemetry.tracer()), {})
    trace.begin(method="a/b", request_id=request_id, start_ns=1)
    for step in range(steps):
        trace.observe(
            Stepped(
                request_id=1,
                canvas_index=0,
                step=step + 1,
                start_ns=step,
                end_ns=step + 1,
                batch_size=1,
                temperature=0.5,
                accepted_count=1,
                changed_count=1,
                mean_entropy=0.1,
                draft=None,
            )
        )
    trace.end(status="OK", end_ns=steps)


def span_count() -> int:
    """Spans that anybody in this process holds."""
    # not isinstance, which asks objects what they are, and some answer with a warning
    return sum(issubclass(type(found), ReadableSpan) for found in gc.get_objects())


def test_shutting_down_sends_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
    with receiving() as (receiver, endpoint):
        telemetry = Telemetry({}, endpoint)
        traced_request(telemetry, "left", steps=3)
        telemetry.shutdown(timeout_s=30.0)
        names = [span.name for span in receiver.spans]
    assert sorted(names) == ["a/b", "canvas", *["denoising step"] * 3]


def test_a_dead_collector_holds_up_neither_requests_nor_the_end() -> None:
    with socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))
        dead.listen()  # Connections are taken and never answered.
        endpoint = f"http://127.0.0.1:{dead.getsockname()[1]}"
        telemetry, others = Telemetry({}, endpoint), span_count()
        began = time.perf_counter()
        for request in range(20):
            traced_request(telemetry, str(request), steps=1_000)
        assert time.perf_counter() - began < 10.0, "20,000 spans, more than the queue holds"
        assert span_count() - others <= MAX_QUEUED_SPANS + BATCH_SPANS, "the oldest are dropped"
        began = time.perf_counter()
        telemetry.shutdown(timeout_s=0.5)
        assert time.perf_counter() - began < 5.0


def test_a_server_that_sends_no_traces_loads_neither_exporter_nor_torch() -> None:
    program = """
import sys
import palimpsest.server.main
print([name for name in ("torch", "opentelemetry.sdk") if name in sys.modules])
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"
