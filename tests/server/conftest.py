"""Servers of the bundled model for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from openai import OpenAI
from openai_calls import connected
from otlp_receiver import receiving
from server_process import ServerProcess, Start, start_server
from traced import MAX_REQUEST_S, Traced

ORIGIN = "https://page.example"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One for all tests that leave it as they found it; one request runs, and 60 may wait; pages of
    `ORIGIN` may call."""
    log_path = tmp_path_factory.mktemp("server") / "log"
    flags = ("--max-num-seqs", "1", "--max-queue", "60", "--cors-origin", ORIGIN)
    started = start_server(log_path, *flags)
    yield started
    assert started.stop() == 0, started.log


@pytest.fixture(scope="session")
def client(server: ServerProcess) -> Iterator[OpenAI]:
    """The official OpenAI client of `server`."""
    with connected(server) as opened:
        yield opened


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts servers of a module's own."""
    servers: list[ServerProcess] = []

    def start_another(*flags: str, environment: Mapping[str, str] | None = None) -> ServerProcess:
        log_path = tmp_path_factory.mktemp("server") / "log"
        servers.append(start_server(log_path, *flags, environment=environment))
        return servers[-1]

    yield start_another
    for started in servers:
        started.stop()


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Runs 32 requests in the same passes."""
    started = start_server(tmp_path_factory.mktemp("server") / "log", "--max-num-seqs", "32")
    yield started
    assert started.stop() == 0, started.log


@pytest.fixture(scope="module")
def traced(start: Start) -> Iterator[Traced]:
    """One of a module's own, all of whose passes are traced too."""
    with receiving() as (receiver, endpoint):
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        flags = ("--max-request-seconds", str(MAX_REQUEST_S), "--trace-pass-share", "1")
        server = start(*flags, environment=environment)
        yield Traced(server=server, receiver=receiver)
        server.stop()


@pytest.fixture(scope="session")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One of its own for what is shown to it, since hostile files are too."""
    started = start_server(tmp_path_factory.mktemp("server") / "log")
    yield started
    assert started.stop() == 0, started.log
    assert "Traceback" not in started.log
