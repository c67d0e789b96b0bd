"""Server reflection over gRPC, for callers who may call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import grpc
from grpc_reflection.v1alpha import reflection
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionServicer

from palimpsest.server.reception import Reception
from palimpsest.server.service import accepted, reply_with_status

_METHOD = f"{reflection.SERVICE_NAME}/ServerReflectionInfo"


class Reflection(ServerReflectionServicer):
    """grpc's own, whose calls begin and end as all others do."""

    def __init__(self, service_names: Sequence[str], reception: Reception) -> None:
        self._reception = reception
        # what grpc says of its types is not so
        self._answer: Callable[..., Any] = reflection.aio.ReflectionServicer(
            service_names
        ).ServerReflectionInfo

    async def ServerReflectionInfo(
        self,
        request_iterator: Any,  # noqa: ANN401 - see above
        context: grpc.aio.ServicerContext,
    ) -> AsyncIterator[Any]:
        call = accepted(context, _METHOD, "", self._reception)
        async with reply_with_status(context, call):
            async for response in self._answer(request_iterator, context):
                yield response
