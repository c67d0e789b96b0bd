"""The running server, wired up: listen → load → warm → SERVING, and on the way out NOT_SERVING →
drain → stop the engine.

Knows no signals and no command line (main.py does).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health as grpc_health
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from grpc_reflection.v1alpha.reflection_pb2_grpc import add_ServerReflectionServicer_to_server
from opentelemetry.trace import Tracer
from prometheus_client import CollectorRegistry

from palimpsest.engine.api import ModelInfo
from palimpsest.server.config import ServerConfig
from palimpsest.server.gate import Gate
from palimpsest.server.health import Health
from palimpsest.server.process import WORKER
from palimpsest.server.progress import Progress
from palimpsest.server.reception import SERVICE
from palimpsest.server.reflection import Reflection
from palimpsest.server.service import DiffusionService
from palimpsest.server.wiring import Wired, wired
from palimpsest.v1.service_pb2_grpc import add_DiffusionServiceServicer_to_server

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from palimpsest.server.http.listener import HttpListener, Serving

Report = Callable[[CollectorRegistry], Coroutine[Any, Any, None]]
"""Goes on until it is cancelled."""

CLOSING_S = 1
"""For the transport, once every answer has ended; open health watches use all of it."""
OPTIONS = (
    # Without this a second server on the same port starts and takes half of the calls.
    ("grpc.so_reuseport", 0),
    # Clients may keep idle connections alive by pings as often as this.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    # A client that vanished is noticed, and its request ended, within about this time.
    ("grpc.keepalive_time_ms", 30_000),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where clients reach the server."""

    grpc: str
    http: str | None
    """Up to the path; None where HTTP is off."""


class Shutdown:
    """How a running server is told to end, from inside the event loop."""

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self.hurried = asyncio.Event()

    def request(self) -> None:
        """Drain, then end; the second time, end without draining."""
        if self.requested.is_set():
            self.hurried.set()
        self.requested.set()

    def request_now(self) -> None:
        """End without draining."""
        self.requested.set()
        self.hurried.set()


async def serve(
    config: ServerConfig,
    *,
    shutdown: Shutdown,
    progress: Progress,
    tracer: Tracer | None,
    report: Report | None = None,
    listening: Callable[[Addresses], None],
    ready: Callable[[Addresses, ModelInfo], None],
    engine_command: Sequence[str] = WORKER,
) -> None:
    """Serve until `shutdown`. `listening` is told the addresses, `ready` these and the model;
    `report` sends metrics meanwhile.

    Raises CheckpointError for the model, EngineStopped for the engine, OSError for an address.
    """
    parts = wired(config, progress=progress, tracer=tracer, command=engine_command)
    server, listener = _grpc_server(parts, config), _http_listener(config)
    at = Addresses(grpc=_bind(server, config), http=None if listener is None else listener.url)
    await parts.health.start()
    await server.start()
    http = None if listener is None else listener.start(_http_doors(parts, config))
    listening(at)
    serving = _serving(parts, http, report)
    announcing = asyncio.ensure_future(_announce(parts.health, at, ready))
    for task in (parts.codec, *serving):
        task.add_done_callback(partial(_end_if_failed, shutdown))
    try:
        await shutdown.requested.wait()
        await parts.health.shut_down()
        drained = await drain(parts.gate, shutdown, config.shutdown_timeout)
        await server.stop(CLOSING_S if drained else None)
        if http is not None:
            await http.stop(CLOSING_S if drained else 0)
    finally:
        for task in (announcing, *serving):
            task.cancel()
        outcomes = await asyncio.gather(parts.codec, *serving, return_exceptions=True)
        await parts.decoder.close()
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome


def _serving(
    parts: Wired, http: Serving | None, report: Report | None
) -> list[asyncio.Future[None]]:
    """What goes on until it is cancelled, or fails and ends the server."""
    serving: list[asyncio.Future[None]] = [asyncio.ensure_future(parts.engine.run())]
    if http is not None:
        serving.append(http.task)
    if report is not None:
        serving.append(asyncio.ensure_future(report(parts.metrics.registry)))
    return serving


async def drain(gate: Gate, shutdown: Shutdown, timeout_s: float) -> bool:
    """Wait for the answers under way; says whether all ended in time."""
    gate.close()
    empty = asyncio.ensure_future(gate.wait_empty())
    hurried = asyncio.ensure_future(shutdown.hurried.wait())
    tasks = (empty, hurried)
    await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    drained = empty.done()
    for task in tasks:
        task.cancel()
    return drained


def _end_if_failed(shutdown: Shutdown, task: asyncio.Future[Any]) -> None:
    if not task.cancelled() and task.exception() is not None:
        shutdown.request_now()


async def _announce(
    health: Health, at: Addresses, ready: Callable[[Addresses, ModelInfo], None]
) -> None:
    ready(at, await health.wait_served())


def _grpc_server(parts: Wired, config: ServerConfig) -> grpc.aio.Server:
    longest = ("grpc.max_receive_message_length", config.max_message_bytes)
    server = grpc.aio.server(options=[*OPTIONS, longest])
    add_DiffusionServiceServicer_to_server(DiffusionService(parts.methods, parts.reception), server)
    # the one service that needs no key
    health_pb2_grpc.add_HealthServicer_to_server(parts.health.servicer, server)
    names = (SERVICE, grpc_health.SERVICE_NAME, reflection.SERVICE_NAME)
    add_ServerReflectionServicer_to_server(Reflection(names, parts.reception), server)
    return server


def _http_listener(config: ServerConfig) -> HttpListener | None:
    """Raises OSError."""
    if config.http_port is None:
        return None
    # Not at the top: HTTP takes a quarter of a second to load, and gRPC alone needs none of it.
    from palimpsest.server.http.listener import HttpListener

    return HttpListener(config.host, config.http_port)


def _http_doors(parts: Wired, config: ServerConfig) -> ASGIApp:
    """All that the HTTP port answers."""
    from starlette.routing import Mount

    from palimpsest.server.connect.app import ConnectApp
    from palimpsest.server.connect.cors import with_cors
    from palimpsest.server.http.app import http_app
    from palimpsest.server.http.time_limit import TimeLimit
    from palimpsest.server.openai.door import openai_routes
    from palimpsest.server.page.files import BUILT
    from palimpsest.server.page.routes import page_routes

    longest = config.max_body_bytes
    connect = ConnectApp(parts.methods, parts.reception, max_bytes=longest)
    openai = openai_routes(parts.generator, parts.reception, max_body_bytes=longest)
    apis = [*openai, Mount(connect.path, connect)]
    routes = [*apis, *page_routes(BUILT)]
    app = with_cors(http_app(parts.health, parts.metrics, routes), config.cors_origin)
    return TimeLimit(app, config.max_request_seconds)


def _bind(server: grpc.aio.Server, config: ServerConfig) -> str:
    """The address that clients use. Raises OSError."""
    host = f"[{config.host}]" if ":" in config.host else config.host
    try:
        port = server.add_insecure_port(f"{host}:{config.port}")
    except RuntimeError as error:
        raise OSError(
            f"--host, --port: cannot listen on {host}:{config.port}; is the port taken?"
        ) from error
    return f"{host}:{port}"
