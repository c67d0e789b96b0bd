"""The server over an engine that keeps a beat: `metronome_server.py HZ [FLAGS OF SERVE]`.

Prints the address of its HTTP port; ends on SIGTERM.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import metronome

from palimpsest.engine.api import ModelInfo
from palimpsest.server.app import Addresses, Shutdown, serve
from palimpsest.server.config import parse
from palimpsest.server.progress import Progress

TICKS_PER_S = 100
"""Of the times in /proc."""


@dataclass(frozen=True, slots=True)
class Metronome:
    """A running server, from outside."""

    port: int
    pid: int

    def cpu_s(self) -> float:
        """Of the server's own process, since its start."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def resident_bytes(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1_024


@contextlib.contextmanager
def metronome_server(hz: float) -> Iterator[Metronome]:
    """Lives as long as the block."""
    command = [sys.executable, __file__, str(hz), "--port", "0", "--http-port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield Metronome(int(process.stdout.readline()), process.pid)
        process.send_signal(signal.SIGTERM)


async def _serve(hz: str, flags: list[str]) -> None:
    shutdown = Shutdown()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, shutdown.request_now)

    def ready(at: Addresses, _: ModelInfo) -> None:
        assert at.http is not None
        print(at.http.rpartition(":")[2], flush=True)

    await serve(
        parse(flags),
        shutdown=shutdown,
        progress=Progress(sys.stderr),
        tracer=None,
        listening=lambda _: None,
        ready=ready,
        engine_command=(sys.executable, metronome.__file__, hz),
    )


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], sys.argv[2:]))
