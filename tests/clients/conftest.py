"""The real server with the bundled model, and small ones that answer what a test wants to hear."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent import futures

import grpc
import pytest

from palimpsest.embedded import EmbeddedServer
from palimpsest.v1.service_pb2_grpc import (
    DiffusionServiceServicer,
    add_DiffusionServiceServicer_to_server,
)

Serve = Callable[[DiffusionServiceServicer], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a real gRPC server of a servicer; returns its address."""
    servers: list[grpc.Server] = []

    def start(servicer: DiffusionServiceServicer) -> str:
        server = grpc.server(futures.ThreadPoolExecutor(4))
        add_DiffusionServiceServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers.append(server)
        return f"127.0.0.1:{port}"

    yield start
    for server in servers:
        server.stop(None).wait()


@pytest.fixture(scope="session")
def server_address() -> Iterator[str]:
    """A server of the bundled model, started the way the command line starts its own."""
    with EmbeddedServer(arguments=["--threads", "1"]) as server:
        yield server.address
