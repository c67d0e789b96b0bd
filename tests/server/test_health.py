"""Where the server says it is in its life."""

from __future__ import annotations

import asyncio
import io

from palimpsest.engine.api import TextCodec
from palimpsest.server.health import Health, Phase
from palimpsest.server.progress import Progress


async def test_a_server_that_ends_says_so_whatever_its_engine_does() -> None:
    codec: asyncio.Future[TextCodec] = asyncio.get_running_loop().create_future()
    health = Health((), Progress(io.StringIO()), codec)
    assert health.phase is Phase.LOADING
    await health.down()
    assert health.phase is Phase.RESTARTING
    await health.shut_down()
    await health.down()
    assert health.phase is Phase.DRAINING
