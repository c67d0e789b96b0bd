"""The server's own path of a request over an engine that does as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator

import scripted_worker

from palimpsest.engine.api import EngineOptions, Loading, ModelInfo, TextCodec, checkpoint_folder
from palimpsest.server.gate import Gate
from palimpsest.server.generation import Generator
from palimpsest.server.media.decoder import Decoder
from palimpsest.server.media.fetching import Fetcher
from palimpsest.server.media.looking import Looker
from palimpsest.server.supervisor import Supervisor


class Board:
    """A watcher that knows when the engine is up."""

    def __init__(self) -> None:
        self.is_up = asyncio.Event()

    def loading(self, progress: Loading) -> None: ...

    async def up(self, model: ModelInfo) -> None:
        self.is_up.set()

    async def down(self) -> None:
        self.is_up.clear()


@contextlib.asynccontextmanager
async def generating(
    *, max_queue: int, max_running: int = 1
) -> AsyncIterator[tuple[Supervisor, Generator]]:
    """A generator over an engine that runs so many requests and lets `max_queue` wait."""
    board = Board()
    engine = Supervisor(
        EngineOptions(max_num_seqs=max_running),
        max_queue=max_queue,
        watcher=board,
        command=(sys.executable, scripted_worker.__file__),
    )
    running = asyncio.ensure_future(engine.run())
    codec = asyncio.ensure_future(asyncio.to_thread(TextCodec, checkpoint_folder("bundled")))
    folder = checkpoint_folder("bundled")
    looker = Looker(folder, Decoder(folder), Fetcher(domains=(), max_bytes=1))
    try:
        await board.is_up.wait()
        yield engine, Generator(engine, Gate(), codec, looker, template_defaults={})
    finally:
        running.cancel()
        await asyncio.gather(running, codec, return_exceptions=True)
