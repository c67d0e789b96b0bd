"""The running server, wired up: listen → load → warm → SERVING, and on the way out NOT_SERVING →
drain → stop the engine.

Knows no signals and no command line (main.py does).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import grpc
from grpc_health.v1 import health as grpc_health
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from opentelemetry.trace import Tracer

from palimpsest.engine.api import ModelInfo, TextCodec, checkpoint_folder
from palimpsest.server.config import ServerConfig
from palimpsest.server.decide import Decider
from palimpsest.server.gate import Gate
from palimpsest.server.generation import Generator
from palimpsest.server.health import Health
from palimpsest.server.progress import Progress
from palimpsest.server.service import SERVICE, DiffusionService
from palimpsest.server.supervisor import Supervisor
from palimpsest.v1.service_pb2_grpc import add_DiffusionServiceServicer_to_server

CLOSING_S = 1.0
"""For the transport, once every answer has ended; open health watches use all of it."""
OPTIONS = (
    # Without this a second server on the same port starts and takes half of the calls.
    ("grpc.so_reuseport", 0),
    # Clients may keep idle connections alive by pings as often as this.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    # A client that vanished is noticed, and its request ended, within about this time.
    ("grpc.keepalive_time_ms", 30_000),
)


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
    listening: Callable[[str], None],
    ready: Callable[[str, ModelInfo], None],
) -> None:
    """Serve until `shutdown`. `listening` is told the address, `ready` the address and the model.

    Raises CheckpointError for the model, EngineStopped for the engine, OSError for the address.
    """
    gate = Gate()
    codec = asyncio.ensure_future(asyncio.to_thread(_load_codec, config.engine.model))
    health = Health((SERVICE,), progress, codec)
    engine = Supervisor(config.engine, max_queue=config.max_queue, watcher=health)
    defaults = config.default_chat_template_kwargs
    generator = Generator(engine, gate, codec, template_defaults=defaults)
    service = DiffusionService(
        generator,
        Decider(generator, engine, gate),
        max_request_s=config.max_request_seconds,
        tracer=tracer,
    )
    server = _grpc_server(service, health)
    address = _bind(server, config)
    await health.start()
    await server.start()
    listening(address)
    running = asyncio.ensure_future(engine.run())
    announcing = asyncio.ensure_future(_announce(health, address, ready))
    for task in (codec, running):
        task.add_done_callback(partial(_end_if_failed, shutdown))
    try:
        await shutdown.requested.wait()
        await health.shut_down()
        drained = await drain(gate, shutdown, config.shutdown_timeout)
        await server.stop(CLOSING_S if drained else None)
    finally:
        announcing.cancel()
        running.cancel()
        outcomes = await asyncio.gather(codec, running, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome


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


async def _announce(health: Health, address: str, ready: Callable[[str, ModelInfo], None]) -> None:
    ready(address, await health.wait_served())


def _grpc_server(service: DiffusionService, health: Health) -> grpc.aio.Server:
    server = grpc.aio.server(options=OPTIONS)
    add_DiffusionServiceServicer_to_server(service, server)
    health_pb2_grpc.add_HealthServicer_to_server(health.servicer, server)
    names = (SERVICE, grpc_health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    return server


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


def _load_codec(model: str) -> TextCodec:
    return TextCodec(checkpoint_folder(model))
