"""Servers of the bundled model for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from server_process import ServerProcess, Start, start_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One for all tests that leave it as they found it; one request runs, and 60 may wait."""
    log_path = tmp_path_factory.mktemp("server") / "log"
    started = start_server(log_path, "--max-num-seqs", "1", "--max-queue", "60")
    yield started
    assert started.stop() == 0, started.log


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
