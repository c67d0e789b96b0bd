"""The server's side of decoding: files in, pictures out, so many at a time.

The process of `decoding.py` starts with the first file, and again should it end. Knows no request.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from palimpsest.engine.api import InvalidRequest, Overloaded, VideoFrame
from palimpsest.server.keys import KEY_VARIABLE
from palimpsest.server.media.limits import FILES_AT_ONCE, IMAGE_S, MEMORY_BYTES, VIDEO_S
from palimpsest.server.media.wire import LENGTHS, STARTED, Job, frames_of, job_message

MAX_WAITING = 256
"""Files that may wait; each is held in memory."""
START_S = 60
"""That the process may take to load its libraries."""
_COMMAND = (sys.executable, "-m", "palimpsest.server.media.decoding")
_ENVIRONMENT = {
    # threads do not fork
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # it says that torch is missing, which is meant
    "TRANSFORMERS_VERBOSITY": "error",
}
_RETRY_AFTER_S = 1.0


class Decoder:
    """Decodes the files of a checkpoint's callers; `close` ends its process."""

    def __init__(self, folder: Path, command: Sequence[str] = _COMMAND) -> None:
        self._command = (*command, "--model", str(folder))
        self._places = asyncio.Semaphore(FILES_AT_ONCE)
        self._waiting = 0
        self._starting = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None

    @property
    def pid(self) -> int | None:
        """Of the process; None before the first file."""
        return None if self._process is None else self._process.pid

    async def decode(self, job: Job, data: bytes) -> list[VideoFrame]:
        """The pictures of a file. When it is cancelled, its place stays taken until the work ends.

        Raises InvalidRequest on `data`, and Overloaded.
        """
        if self._waiting >= MAX_WAITING:
            raise Overloaded(f"{MAX_WAITING} files wait to be decoded", _RETRY_AFTER_S)
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1
        working = asyncio.ensure_future(self._decode(job, data))
        working.add_done_callback(self._leave)
        return await asyncio.shield(working)

    async def close(self) -> None:
        """Ends the process, and those that it has forked for files."""
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()

    def _leave(self, working: asyncio.Future[list[VideoFrame]]) -> None:
        self._places.release()
        if not working.cancelled():
            # retrieved, as the caller may be gone
            working.exception()

    async def _decode(self, job: Job, data: bytes) -> list[VideoFrame]:
        control = await self._running()
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        with theirs, contextlib.suppress(OSError):
            # if nobody takes it, it closes and ours says so
            socket.send_fds(control, [b"j"], [theirs.fileno()])
        try:
            return await _pictures(reader, writer, job, data)
        finally:
            writer.close()

    async def _running(self) -> socket.socket:
        """The socket of a process that has not ended."""
        async with self._starting:
            ended = self._process is None or self._process.returncode is not None
            if ended or self._control is None:
                if self._control is not None:
                    self._control.close()
                self._process, self._control = await _start(self._command)
            return self._control


async def _start(command: Sequence[str]) -> tuple[asyncio.subprocess.Process, socket.socket]:
    """Does not wait until it has loaded anything."""
    ours, theirs = socket.socketpair()
    environment = {name: os.environ[name] for name in os.environ if name != KEY_VARIABLE}
    with theirs:
        process = await asyncio.create_subprocess_exec(
            *command,
            "--fd",
            str(theirs.fileno()),
            pass_fds=(theirs.fileno(),),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=2,
            env={**environment, **_ENVIRONMENT},
            process_group=0,
        )
    return process, ours


async def _pictures(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, job: Job, data: bytes
) -> list[VideoFrame]:
    limit_s = VIDEO_S if job.is_video else IMAGE_S
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(START_S):
            writer.write(job_message(job, data))
            await writer.drain()
            if await reader.read(1) != STARTED:
                raise Overloaded("the process that decodes files ended", _RETRY_AFTER_S)
    except (OSError, TimeoutError):
        raise Overloaded("the process that decodes files does not start", _RETRY_AFTER_S) from None
    started_s = loop.time()
    try:
        said, payload = await _answer(reader)
    except (OSError, asyncio.IncompleteReadError):
        late = loop.time() - started_s > limit_s - 1
        reason = f"takes more than {limit_s} s" if late else f"takes more than {MEMORY_BYTES >> 20}"
        reason += " to be decoded" if late else " MiB to be decoded, or breaks the decoder"
        raise InvalidRequest("data", reason) from None
    if isinstance(said, str):
        raise InvalidRequest("data", said)
    return frames_of(said, payload)


async def _answer(reader: asyncio.StreamReader) -> tuple[str | list[dict[str, float]], bytes]:
    """What is wrong with the file, or its pictures, and their bytes."""
    said, payload = LENGTHS.unpack(await reader.readexactly(LENGTHS.size))
    return json.loads(await reader.readexactly(said)), await reader.readexactly(payload)
