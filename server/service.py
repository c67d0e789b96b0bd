"""DiffusionService over gRPC: methods.py, with gRPC's contexts and statuses around it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import grpc
from google.protobuf.message import Message
from grpc_status import rpc_status

from palimpsest.server.call import GRACE_S, Call
from palimpsest.server.errors import Refused, ending
from palimpsest.server.methods import Methods
from palimpsest.server.reception import Reception, method_name, request_id_of
from palimpsest.server.tracing import GRPC
from palimpsest.v1 import decide_pb2, engine_state_pb2, generation_pb2, model_pb2
from palimpsest.v1.service_pb2_grpc import DiffusionServiceServicer


class DiffusionService(DiffusionServiceServicer):
    """Made once, when the server starts to listen."""

    def __init__(self, methods: Methods, reception: Reception) -> None:
        self._methods = methods
        self._reception = reception

    async def StreamGenerate(
        self,
        request: generation_pb2.StreamGenerateRequest,
        context: grpc.aio.ServicerContext,
    ) -> AsyncIterator[generation_pb2.StreamGenerateResponse]:
        async with self._call("StreamGenerate", request, context) as call:
            answer = self._methods.stream_generate(request, call)
            async with contextlib.aclosing(answer):
                async for response in answer:
                    yield response

    async def Generate(
        self, request: generation_pb2.GenerateRequest, context: grpc.aio.ServicerContext
    ) -> generation_pb2.GenerateResponse:
        async with self._call("Generate", request, context) as call:
            return await self._methods.generate(request, call)

    async def CountTokens(
        self, request: model_pb2.CountTokensRequest, context: grpc.aio.ServicerContext
    ) -> model_pb2.CountTokensResponse:
        async with self._call("CountTokens", request, context) as call:
            return await self._methods.count_tokens(request, call)

    async def GetModel(
        self, request: model_pb2.GetModelRequest, context: grpc.aio.ServicerContext
    ) -> model_pb2.GetModelResponse:
        async with self._call("GetModel", request, context) as call:
            return await self._methods.get_model(request, call)

    async def ListModels(
        self, request: model_pb2.ListModelsRequest, context: grpc.aio.ServicerContext
    ) -> model_pb2.ListModelsResponse:
        async with self._call("ListModels", request, context) as call:
            return await self._methods.list_models(request, call)

    async def Decide(
        self, request: decide_pb2.DecideRequest, context: grpc.aio.ServicerContext
    ) -> decide_pb2.DecideResponse:
        async with self._call("Decide", request, context) as call:
            return await self._methods.decide(request, call)

    async def WatchEngine(
        self,
        request: engine_state_pb2.WatchEngineRequest,
        context: grpc.aio.ServicerContext,
    ) -> AsyncIterator[engine_state_pb2.WatchEngineResponse]:
        async with self._call("WatchEngine", request, context) as call:
            states = self._methods.watch_engine(request, call)
            async with contextlib.aclosing(states):
                async for response in states:
                    yield response

    @contextlib.asynccontextmanager
    async def _call(
        self, method: str, request: Message, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[Call]:
        """Around the body of every method."""
        call = accepted(context, method_name(method), request_id_of(request), self._reception)
        async with reply_with_status(context, call):
            yield call


def accepted(
    context: grpc.aio.ServicerContext, method: str, request_id: str, reception: Reception
) -> Call:
    """From gRPC's context to the Call."""
    metadata = context.invocation_metadata() or ()
    return reception.accept(
        method,
        request_id=request_id,
        remaining_s=context.time_remaining(),
        headers={key: str(value) for key, value in metadata},
        carrier=GRPC,
    )


@contextlib.asynccontextmanager
async def reply_with_status(context: grpc.aio.ServicerContext, call: Call) -> AsyncIterator[None]:
    """Around the body of a handler, streams included: whatever happens, there is a status, but for
    a caller who does not read and so would keep what the call holds.
    """
    handler = asyncio.current_task()
    assert handler is not None, "a handler runs in a task"
    timer = asyncio.get_running_loop().call_at(call.deadline_s + GRACE_S, handler.cancel)
    try:
        with ending(call):
            yield
    except Refused as refused:
        await context.abort_with_status(rpc_status.to_status(refused.status))
    finally:
        timer.cancel()
