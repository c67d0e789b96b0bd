"""What the outside is told about the state: `grpc.health.v1`, probes over HTTP, and people at the
terminal.
"""

from __future__ import annotations

import asyncio
import enum

from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as health_aio  # type: ignore[attr-defined] # untyped

from palimpsest.engine.api import Loading, ModelInfo, TextCodec
from palimpsest.server.progress import Progress


class Phase(enum.Enum):
    """Where the server is in its life."""

    LOADING = "loading"
    SERVING = "serving"
    RESTARTING = "restarting"
    """The engine process ended and is being started again."""
    DRAINING = "draining"


class Health:
    """Follows the engine, as the supervisor's Watcher. Serving means that requests are answered."""

    def __init__(
        self, services: tuple[str, ...], progress: Progress, codec: asyncio.Future[TextCodec]
    ) -> None:
        """`services` get the same status as the whole server, whose name is empty."""
        self.servicer = health_aio.HealthServicer()
        self._phase = Phase.LOADING
        self._services = ("", *services)
        self._progress = progress
        self._codec = codec
        self._served: asyncio.Future[ModelInfo] = asyncio.get_running_loop().create_future()

    @property
    def phase(self) -> Phase:
        return self._phase

    async def start(self) -> None:
        """Say that nothing is served yet; before listening."""
        await self._set(health_pb2.HealthCheckResponse.NOT_SERVING)

    async def wait_served(self) -> ModelInfo:
        """Returns once requests were answered for the first time."""
        return await asyncio.shield(self._served)

    def loading(self, progress: Loading) -> None:
        self._progress.show(progress)

    async def up(self, model: ModelInfo) -> None:
        # Raises what is wrong with the tokenizer to whoever starts the engine.
        await asyncio.shield(self._codec)
        self._progress.end()
        self._enter(Phase.SERVING)
        await self._set(health_pb2.HealthCheckResponse.SERVING)
        if not self._served.done():
            self._served.set_result(model)

    async def down(self) -> None:
        self._enter(Phase.RESTARTING)
        await self._set(health_pb2.HealthCheckResponse.NOT_SERVING)

    async def shut_down(self) -> None:
        """NOT_SERVING from now on, whatever the engine does."""
        self._phase = Phase.DRAINING
        await self.servicer.enter_graceful_shutdown()

    def _enter(self, phase: Phase) -> None:
        if self._phase is not Phase.DRAINING:
            self._phase = phase

    async def _set(self, status: health_pb2.HealthCheckResponse.ServingStatus.ValueType) -> None:
        for service in self._services:
            await self.servicer.set(service, status)
