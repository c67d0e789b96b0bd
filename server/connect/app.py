"""DiffusionService over Connect and gRPC-Web, which browsers speak: methods.py behind connectrpc,
with the very messages that gRPC carries.

connectrpc is not 1.0 yet; this folder alone knows it.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from typing import Any

from connectrpc.compat import google_protobuf_binary_codec
from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType
from connectrpc.request import RequestContext
from connectrpc.server import ConnectASGIApplication, Endpoint
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from palimpsest.server.call import Call
from palimpsest.server.connect.errors import connect_error
from palimpsest.server.connect.json_codec import JsonCodec
from palimpsest.server.errors import Refused, ending
from palimpsest.server.methods import Methods
from palimpsest.server.reception import SERVICE, Reception, method_name, request_id_of
from palimpsest.server.tracing import CONNECT
from palimpsest.v1 import service_pb2

Unary = Callable[[Any, Call], Awaitable[Message]]
Stream = Callable[[Any, Call], AsyncGenerator[Message, None]]
Context = RequestContext[Any, Any]


class ConnectApp(ConnectASGIApplication[Methods]):
    """An ASGI application of all methods; its paths are those of gRPC."""

    def __init__(self, methods: Methods, reception: Reception, *, max_bytes: int) -> None:
        """`max_bytes` is of a request."""
        super().__init__(
            service=methods,
            endpoints=lambda methods: _endpoints(methods, reception),
            codecs=(google_protobuf_binary_codec(), JsonCodec()),
            read_max_bytes=max_bytes,
        )

    @property
    def path(self) -> str:
        """Where to mount it."""
        return f"/{SERVICE}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuses plain gRPC where the listener has no trailers, which connectrpc calls a bug."""
        if scope["type"] == "http" and _is_plain_grpc(scope):
            message = "gRPC is spoken on the other port; here are Connect and gRPC-Web\n"
            await PlainTextResponse(message, status_code=415)(scope, receive, send)
            return
        await super().__call__(scope, receive, send)  # type: ignore[arg-type] # starlette's types


def _endpoints(methods: Methods, reception: Reception) -> Mapping[str, Any]:
    """Endpoints by their paths; connectrpc has no public name for the types that it takes."""
    unary: dict[str, Unary] = {
        "Generate": methods.generate,
        "Decide": methods.decide,
        "CountTokens": methods.count_tokens,
        "GetModel": methods.get_model,
        "ListModels": methods.list_models,
    }
    streams: dict[str, Stream] = {
        "StreamGenerate": methods.stream_generate,
        "WatchEngine": methods.watch_engine,
    }
    return {
        **{f"/{method_name(name)}": _unary(name, unary[name], reception) for name in unary},
        **{f"/{method_name(name)}": _stream(name, streams[name], reception) for name in streams},
    }


def _unary(name: str, method: Unary, reception: Reception) -> Endpoint[Any, Any]:
    async def answer(request: Message, context: Context) -> Message:
        with _accepted(name, request, context, reception) as call:
            return await method(request, call)

    return Endpoint.unary(_info(name), answer)


def _stream(name: str, method: Stream, reception: Reception) -> Endpoint[Any, Any]:
    async def answer(request: Message, context: Context) -> AsyncGenerator[Message, None]:
        with _accepted(name, request, context, reception) as call:
            async with contextlib.aclosing(method(request, call)) as messages:
                async for message in messages:
                    yield message

    return Endpoint.server_stream(_info(name), answer)


@contextlib.contextmanager
def _accepted(
    name: str, request: Message, context: Context, reception: Reception
) -> Iterator[Call]:
    """Around the body of every method. Raises ConnectError for all that goes wrong in it."""
    timeout_ms = context.timeout_ms
    call = reception.accept(
        method_name(name),
        request_id=request_id_of(request),
        remaining_s=None if timeout_ms is None else timeout_ms / 1_000,
        headers=context.request_headers,
        carrier=CONNECT,
    )
    try:
        with ending(call):
            yield call
    except Refused as refused:
        raise connect_error(refused.status) from refused


def _info(name: str) -> MethodInfo[Any, Any]:
    service = service_pb2.DESCRIPTOR.services_by_name["DiffusionService"]
    method: MethodDescriptor = service.methods_by_name[name]
    return MethodInfo(
        name=name,
        service_name=SERVICE,
        input=GetMessageClass(method.input_type),
        output=GetMessageClass(method.output_type),
        idempotency_level=IdempotencyLevel.UNKNOWN,
        stream_type=StreamType.SERVER_STREAM if method.server_streaming else StreamType.UNARY,
    )


def _is_plain_grpc(scope: Scope) -> bool:
    kind = dict(scope["headers"]).get(b"content-type", b"").partition(b";")[0]
    plain = kind == b"application/grpc" or kind.startswith(b"application/grpc+")
    return plain and "http.response.trailers" not in scope.get("extensions", {})
