"""Collectors that die, come back, or never answer: no request notices, and neither does the end."""

from __future__ import annotations

import time
from collections.abc import Mapping

from calls import REVERSE, asking, generate
from collector import collector
from otlp_receiver import receiving
from server_process import ServerProcess, Start

from palimpsest.server.main import FLUSH_S

PROMPTLY = {"OTEL_BSP_SCHEDULE_DELAY": "50"}
ENDING_S = 20.0
"""For a server to end once its last traces are given up; loaded machines are slow."""


def sending_to(endpoint: str) -> Mapping[str, str]:
    return {**PROMPTLY, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}


def test_a_collector_that_dies_is_missed_by_nobody_and_found_again(start: Start) -> None:
    with receiving() as (receiver, endpoint):
        server = start(environment=sending_to(endpoint))
        asked = asking(REVERSE)
        asked.request_id = "before"
        generate(server, asked)
        receiver.request_span("before")
    for request_id in ("missed", "too"):
        asked.request_id = request_id
        assert generate(server, asked).text
    with receiving(int(endpoint.rpartition(":")[2])) as (receiver, _):
        asked.request_id = "after"
        generate(server, asked)
        receiver.request_span("after")
    generate(server, asked)
    assert_ends_in_time(server)


def test_a_collector_that_never_answers_is_missed_by_nobody_either(start: Start) -> None:
    with collector("silent") as silent:
        server = start(environment=sending_to(silent.endpoint))
        for _ in range(3):
            assert generate(server, asking(REVERSE)).text
        assert_ends_in_time(server)


def assert_ends_in_time(server: ServerProcess) -> None:
    began = time.monotonic()
    assert server.stop() == 0, server.log
    assert time.monotonic() - began < FLUSH_S + ENDING_S
    assert "Traceback" not in server.log
