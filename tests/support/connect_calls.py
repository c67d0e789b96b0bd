"""Calls of the contract over HTTP, in each of the dialects that a browser may speak."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from connectrpc.client import ConnectClient
from connectrpc.codec import Codec
from connectrpc.compat import google_protobuf_binary_codec, google_protobuf_json_codec
from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType
from connectrpc.protocol import ProtocolType
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from server_process import ServerProcess

from palimpsest.v1 import service_pb2

SERVICE = service_pb2.DESCRIPTOR.services_by_name["DiffusionService"]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How messages are framed and written."""

    protocol: ProtocolType
    codec: Codec


CONNECT_JSON = Dialect(ProtocolType.CONNECT, google_protobuf_json_codec())
CONNECT_BINARY = Dialect(ProtocolType.CONNECT, google_protobuf_binary_codec())
GRPC_WEB = Dialect(ProtocolType.GRPC_WEB, google_protobuf_binary_codec())
DIALECTS = {
    "connect-json": CONNECT_JSON,
    "connect-binary": CONNECT_BINARY,
    "grpc-web": GRPC_WEB,
}


async def call(
    server: ServerProcess,
    dialect: Dialect,
    method: str,
    request: Message,
    headers: Mapping[str, str] | None = None,
) -> Any:  # noqa: ANN401 - the response of `method`
    return await _client(server, dialect).execute_unary(
        request=request, method=_info(method), headers=headers
    )


def stream(
    server: ServerProcess, dialect: Dialect, method: str, request: Message
) -> AsyncIterator[Any]:
    return _client(server, dialect).execute_server_stream(request=request, method=_info(method))


def url(server: ServerProcess, method: str) -> str:
    return f"{server.url}/{SERVICE.full_name}/{method}"


def envelope(message: Message) -> bytes:
    """A message as streams frame it."""
    data = message.SerializeToString()
    return b"\0" + len(data).to_bytes(4, "big") + data


def _client(server: ServerProcess, dialect: Dialect) -> ConnectClient:
    return ConnectClient(server.url, codec=dialect.codec, protocol=dialect.protocol)


def _info(name: str) -> MethodInfo[Any, Any]:
    method = SERVICE.methods_by_name[name]
    return MethodInfo(
        name=name,
        service_name=SERVICE.full_name,
        input=GetMessageClass(method.input_type),
        output=GetMessageClass(method.output_type),
        idempotency_level=IdempotencyLevel.UNKNOWN,
        stream_type=StreamType.SERVER_STREAM if method.server_streaming else StreamType.UNARY,
    )
