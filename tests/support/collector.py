"""A collector of traces as a process of its own, that answers, or takes everything and never does:
`collector.py answering|silent PORT`. It reads nothing of what it is sent.

Prints its port; 0 picks a free one. Ends when its standard input does.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass

import grpc

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@dataclass(frozen=True, slots=True)
class Collector:
    """A running one."""

    process: subprocess.Popen[str]
    port: int

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """From one moment to the next."""
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def collector(kind: str, port: int = 0) -> Iterator[Collector]:
    """Lives as long as the block, unless it is killed."""
    command = [sys.executable, __file__, kind, str(port)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield Collector(process, int(process.stdout.readline()))
        process.kill()


class _Exports(grpc.GenericRpcHandler):
    """Every call, as bytes."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(self._export)

    def _export(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        if self._kind == "silent":
            gone = threading.Event()
            context.add_callback(gone.set)
            gone.wait()
        return b""


def _main() -> None:
    server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[_Exports(sys.argv[1])])
    port = server.add_insecure_port(f"127.0.0.1:{sys.argv[2]}")
    server.start()
    print(port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    _main()
