"""A server of this process's own, for people who have not started one: a subprocess on a free port.

It lives exactly as long as its `EmbeddedServer`: the server watches its standard input, which ends
when this process closes it or dies, however it dies. Knows the server's command line, not its code.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from palimpsest.closing import Closing
from palimpsest.errors import EmbeddedServerError, ServerPartsMissing

SERVER_MODULE = "palimpsest.server"
PROGRAMS = {
    "serve": SERVER_MODULE,
    "quantize": "palimpsest.engine.quantiser",
    "inspect": "palimpsest.engine.inspector",
}
"""Commands that are programs of the server's side, by the module that runs them."""
SERVER_PARTS = ("torch", "transformers", "safetensors")
"""Packages that only `pip install 'palimpsest[serve]'` brings."""
FLAGS = ("--port", "0", "--http-port", "off", "--ready-json", "--exit-with-stdin")
ERROR_MARKER = "palimpsest serve: error: "
"""Opens the line in which the server says why it ends."""
STOP_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """What the server says on its standard output, in one line, once it answers requests."""

    address: str
    model: str


class EmbeddedServer(Closing):
    """A running server; a context manager. Blocks while the model loads.

    Raises ServerPartsMissing when only the client is installed, EmbeddedServerError when the server
    refuses to start, with its reason.
    """

    def __init__(self, *, model: str | None = None, arguments: Sequence[str] = ()) -> None:
        """Starts a server of `model` (its own default if None), with more flags of the server."""
        require_server_parts(otherwise=", or give the --address of a running one")
        chosen = [] if model is None else ["--model", model]
        command = [*_server_command(), *FLAGS]
        # The server's log would tear up a canvas on the terminal; it is read only when it fails.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        self._process = subprocess.Popen(
            [*command, *chosen, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            # Ctrl-C is for us; the server follows in its own time, through its standard input.
            start_new_session=True,
        )
        try:
            ready = self._wait_until_ready()
        except BaseException:
            self.close()
            raise
        self.address = ready.address
        """Where it listens, as `host:port`."""
        self.model = ready.model
        """Name of the served model."""

    @property
    def pid(self) -> int:
        """Process id of the server."""
        return self._process.pid

    def close(self) -> None:
        """Ends the server and waits until it is gone; harmless when it already is."""
        process = self._process
        try:
            if process.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_TIMEOUT_S)
        finally:
            # Reached early by a second Ctrl-C: then there is no more waiting. The group holds the
            # engine process too.
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            if process.stdout is not None:
                process.stdout.close()
            self._log.close()

    def _wait_until_ready(self) -> _Ready:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            exit_code = self._process.wait()
            raise EmbeddedServerError(self._last_words(), exit_code)
        try:
            ready = json.loads(line)
            return _Ready(address=ready["address"], model=ready["model"])
        except (ValueError, KeyError, TypeError) as error:
            raise EmbeddedServerError(
                f"the server's first line is not its address: {line!r}"
            ) from error

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        for line in reversed(lines):
            _, marker, reason = line.partition(ERROR_MARKER)
            if marker:
                return reason
        return lines[-1] if lines else f"the server ended with code {self._process.returncode}"


def require_server_parts(*, otherwise: str = "") -> None:
    """Raises ServerPartsMissing: what is missing, what installs it and what else would do."""
    missing = [name for name in SERVER_PARTS if importlib.util.find_spec(name) is None]
    if missing:
        raise ServerPartsMissing(
            f"no server is installed here ({', '.join(missing)} missing): "
            f"pip install 'palimpsest[serve]'{otherwise}",
            exit_code=2,
        )


def exec_program(command: str, arguments: Sequence[str]) -> NoReturn:
    """Becomes one of PROGRAMS: this process is replaced. Raises ServerPartsMissing."""
    require_server_parts()
    words = [sys.executable, "-m", PROGRAMS[command], *arguments]
    os.execv(words[0], words)


def _server_command() -> list[str]:
    return [sys.executable, "-m", SERVER_MODULE]
