"""Whether a server serves: `python -m palimpsest.health HOST:PORT`; exit status 0 if it does.

For container health checks. The messages of grpc.health.v1 are written out as bytes, so that the
client needs no package for them.
"""

from __future__ import annotations

import sys

import grpc

METHOD = "/grpc.health.v1.Health/Check"
EMPTY_REQUEST = b""
SERVING = b"\x08\x01"
"""HealthCheckResponse with field 1, `status`, at 1."""


def is_serving(address: str, *, timeout_s: float = 3.0) -> bool:
    """Whether the server at `address` ("host:port") says that it serves within the time given."""
    with grpc.insecure_channel(address) as channel:
        check = channel.unary_unary(METHOD)
        try:
            return check(EMPTY_REQUEST, timeout=timeout_s) == SERVING
        except grpc.RpcError:
            return False


def main() -> int:
    """Checks the address on the command line; returns the exit status."""
    if len(sys.argv) != 2:
        print("usage: python -m palimpsest.health HOST:PORT", file=sys.stderr)
        return 2
    return 0 if is_serving(sys.argv[1]) else 1


if __name__ == "__main__":
    sys.exit(main())
