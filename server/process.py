"""One engine process: started on a socket pair, spoken to in commands and frames, surely ended.

Knows nothing of requests or restarts (supervisor.py does).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Sequence
from typing import cast

from palimpsest.engine.api import AsyncChannel, Command, EngineOptions, Frame, Stop
from palimpsest.server.keys import KEY_VARIABLE

WORKER = (sys.executable, "-m", "palimpsest.engine.worker")
ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Threads that spin while they wait take the cores from this process, and a step a hundred times as
long."""
_STDERR = 2


class EngineProcess:
    """A running engine process; made by `EngineProcess.start`."""

    def __init__(self, process: asyncio.subprocess.Process, channel: AsyncChannel) -> None:
        self._process = process
        self._channel = channel

    @classmethod
    async def start(cls, options: EngineOptions, command: Sequence[str] = WORKER) -> EngineProcess:
        """Start `command --fd N` and hand it `options`. Does not wait for the model."""
        ours, theirs = socket.socketpair()
        # whoever is cancelled while it waits here leaves nothing behind
        with contextlib.ExitStack() as undo:
            undo.callback(ours.close)
            with theirs:
                process = await _spawn([*command, "--fd", str(theirs.fileno())], theirs.fileno())
            undo.callback(_kill, process)
            channel = await AsyncChannel.open(ours)
            undo.pop_all()
        channel.send(options)
        return cls(process, channel)

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, command: Command) -> None:
        """Queue a command; never waits, and is dropped when the process has ended."""
        self._channel.send(command)

    async def receive(self) -> Frame:
        """The next frame. Raises ChannelClosed when the process has ended or closed its end."""
        return cast(Frame, await self._channel.receive())

    async def stop(self, grace_s: float) -> int:
        """End the process: by asking, after `grace_s` seconds by force. Returns its exit code."""
        try:
            self.send(Stop())
            async with asyncio.timeout(grace_s):
                return await self._process.wait()
        except TimeoutError:
            return await self._end()
        except asyncio.CancelledError:
            await self._end()
            raise
        finally:
            await self._channel.close()

    async def _end(self) -> int:
        _kill(self._process)
        return await self._process.wait()


async def _spawn(command: Sequence[str], fd: int) -> asyncio.subprocess.Process:
    """Starts `command` with the file descriptor `fd`, and without the callers' keys."""
    environment = {name: os.environ[name] for name in os.environ if name != KEY_VARIABLE}
    return await asyncio.create_subprocess_exec(
        *command,
        pass_fds=(fd,),
        stdin=asyncio.subprocess.DEVNULL,
        env={**ENVIRONMENT, **environment},
        # The server's own standard output carries `--ready-json`.
        stdout=_STDERR,
        # Ctrl-C in the terminal is for the server, which then drains.
        process_group=0,
    )


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
