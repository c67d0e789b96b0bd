"""The real server with the bundled model, and small ones that answer what a test wants to hear."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
from evaluating import WriteSuite
from serving import Serve

from palimpsest.embedded import EmbeddedServer
from palimpsest.v1.service_pb2_grpc import (
    DiffusionServiceServicer,
    add_DiffusionServiceServicer_to_server,
)


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


@pytest.fixture
def suite(tmp_path: Path) -> WriteSuite:
    """Writes a suite, one file a call."""

    def write(*items: str | dict[str, Any], name: str = "mine") -> str:
        lines = [
            {"prompt": item, "expected": item.replace(" ", "")} if isinstance(item, str) else item
            for item in items
        ]
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        return str(path)

    return write
