"""An HTTP port that is served inside the server's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

BACKLOG = 2_048
UNSENT_BYTES = 16 * 2**10
"""What waits in the kernel for a reader; by itself that grows to megabytes of old drafts."""
KEEP_ALIVE_S = 75
"""Longer than clients and balancers keep an idle connection, so that they are who closes it."""


class HttpListener:
    """Holds the port from the start; connections wait until `start`."""

    def __init__(self, host: str, port: int) -> None:
        """Port 0 picks a free one. Raises OSError if the address cannot be listened on."""
        is_v6 = ":" in host
        shown = f"[{host}]" if is_v6 else host
        try:
            self._socket = socket.create_server(
                (host, port),
                family=socket.AF_INET6 if is_v6 else socket.AF_INET,
                backlog=BACKLOG,
                dualstack_ipv6=is_v6 and socket.has_dualstack_ipv6(),
            )
        except OSError as error:
            raise OSError(
                f"--host, --http-port: cannot listen on {shown}:{port}; is the port taken? "
                "('--http-port off' serves gRPC alone)"
            ) from error
        # every connection inherits it
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        self.url = f"http://{shown}:{self._socket.getsockname()[1]}"
        """What clients put before a path."""

    def start(self, app: ASGIApp) -> Serving:
        """Serve `app` from now on."""
        config = uvicorn.Config(
            app,
            access_log=False,  # every call has a line of its own
            lifespan="off",
            log_config=None,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            ws="none",
        )
        return Serving(config, self._socket)


class Serving:
    """A port that is being served."""

    def __init__(self, config: uvicorn.Config, listening: socket.socket) -> None:
        self._config = config
        self._server = _Server(config)
        self.task = asyncio.ensure_future(self._server.serve(sockets=[listening]))
        """Ends when the port is served no more."""

    async def stop(self, grace_s: int) -> None:
        """Take no connections any more, and give open responses so many seconds to end."""
        self._config.timeout_graceful_shutdown = grace_s
        self._server.should_exit = True
        await asyncio.wait((self.task,))


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
