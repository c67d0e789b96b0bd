"""The container health check against a real health service."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import HealthServicer
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server

from palimpsest import health

Status = health_pb2.HealthCheckResponse.ServingStatus


@pytest.fixture
def service() -> HealthServicer:
    return HealthServicer()


@pytest.fixture
def address(service: HealthServicer) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(max_workers=1))
    add_HealthServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(grace=None).wait()


def test_a_serving_server_is_healthy(
    service: HealthServicer, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.set("", Status.SERVING)
    monkeypatch.setattr("sys.argv", ["health", address])
    assert health.main() == 0


def test_a_loading_server_is_not(
    service: HealthServicer, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.set("", Status.NOT_SERVING)
    monkeypatch.setattr("sys.argv", ["health", address])
    assert health.main() == 1


def test_a_port_where_nobody_listens_is_not() -> None:
    assert not health.is_serving("127.0.0.1:1")


def test_a_missing_address_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["health"])
    assert health.main() == 2
    assert "HOST:PORT" in capsys.readouterr().err
