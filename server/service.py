"""DiffusionService over gRPC: one short handler per method, all over generation.py
and decide.py.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import NoReturn

import grpc
from opentelemetry.trace import Tracer

from palimpsest.engine.api import InvalidRequest
from palimpsest.server import convert, fields, replies
from palimpsest.server.call import Call
from palimpsest.server.decide import Decider
from palimpsest.server.errors import reply_with_status
from palimpsest.server.generation import Generator
from palimpsest.server.strict import refuse_unsupported
from palimpsest.server.tracing import TRACE_HEADERS, RequestTrace
from palimpsest.v1 import decide_pb2, engine_state_pb2, generation_pb2, model_pb2, service_pb2
from palimpsest.v1.service_pb2_grpc import DiffusionServiceServicer

SERVICE = service_pb2.DESCRIPTOR.services_by_name["DiffusionService"].full_name


class DiffusionService(DiffusionServiceServicer):
    """Answers requests; made once, when the server starts to listen."""

    def __init__(
        self,
        generator: Generator,
        decider: Decider,
        *,
        max_request_s: float,
        tracer: Tracer | None,
    ) -> None:
        """`max_request_s` bounds every call, also those without a deadline of their own."""
        self._generator = generator
        self._decider = decider
        self._max_request_s = max_request_s
        self._tracer = tracer

    async def StreamGenerate(
        self,
        request: generation_pb2.StreamGenerateRequest,
        context: grpc.aio.ServicerContext,
    ) -> AsyncIterator[generation_pb2.StreamGenerateResponse]:
        call = self._call("StreamGenerate", context, request.input.request_id)
        async with reply_with_status(context, call):
            wanted = convert.stream_generation(request)
            answer = self._generator.generate(wanted, call)
            async with contextlib.aclosing(answer):
                with _below_input():
                    async for event in answer:
                        yield replies.stream_response(event, wanted.preview)

    async def Generate(
        self, request: generation_pb2.GenerateRequest, context: grpc.aio.ServicerContext
    ) -> generation_pb2.GenerateResponse:
        call = self._call("Generate", context, request.input.request_id)
        async with reply_with_status(context, call):
            wanted = convert.unary_generation(request)
            with _below_input():
                events = [event async for event in self._generator.generate(wanted, call)]
            return replies.whole_answer(events)

    async def CountTokens(
        self, request: model_pb2.CountTokensRequest, context: grpc.aio.ServicerContext
    ) -> model_pb2.CountTokensResponse:
        async with reply_with_status(context, self._call("CountTokens", context)):
            prompt = convert.count_prompt(request)
            count = await self._generator.count_tokens(request.model, prompt)
            return model_pb2.CountTokensResponse(token_count=count)

    async def GetModel(
        self, request: model_pb2.GetModelRequest, context: grpc.aio.ServicerContext
    ) -> model_pb2.GetModelResponse:
        async with reply_with_status(context, self._call("GetModel", context)):
            refuse_unsupported(request, fields.GET_MODEL)
            model = self._generator.model(request.model)
            return model_pb2.GetModelResponse(model=replies.model_message(model))

    async def ListModels(
        self, request: model_pb2.ListModelsRequest, context: grpc.aio.ServicerContext
    ) -> model_pb2.ListModelsResponse:
        async with reply_with_status(context, self._call("ListModels", context)):
            refuse_unsupported(request, fields.LIST_MODELS)
            model = self._generator.model("")
            return model_pb2.ListModelsResponse(models=[replies.model_message(model)])

    async def Decide(
        self, request: decide_pb2.DecideRequest, context: grpc.aio.ServicerContext
    ) -> decide_pb2.DecideResponse:
        call = self._call("Decide", context, request.request_id)
        async with reply_with_status(context, call):
            inquiry = convert.inquiry(request)
            return replies.decided(await self._decider.decide(inquiry, call))

    async def WatchEngine(
        self,
        request: engine_state_pb2.WatchEngineRequest,
        context: grpc.aio.ServicerContext,
    ) -> AsyncIterator[engine_state_pb2.WatchEngineResponse]:
        await _not_built(context, "WatchEngine")
        yield engine_state_pb2.WatchEngineResponse()  # Makes this a stream; never reached.

    def _call(self, method: str, context: grpc.aio.ServicerContext, request_id: str = "") -> Call:
        """`request_id` is the caller's; one that cannot be logged is replaced."""
        usable = request_id and convert.is_request_id(request_id)
        remaining_s = context.time_remaining()
        time_limit_s = self._max_request_s if remaining_s is None else remaining_s
        return Call(
            method=f"{SERVICE}/{method}",
            request_id=request_id if usable else uuid.uuid4().hex,
            time_limit_s=min(time_limit_s, self._max_request_s),
            trace=None if self._tracer is None else RequestTrace(self._tracer, _headers(context)),
        )


def _headers(context: grpc.aio.ServicerContext) -> dict[str, str]:
    """Those of the request that tracing reads."""
    metadata = context.invocation_metadata() or ()
    return {key: str(value) for key, value in metadata if key in TRACE_HEADERS}


@contextlib.contextmanager
def _below_input() -> Iterator[None]:
    """Generation knows no `input` around prompt and sampling; the contract does."""
    try:
        yield
    except InvalidRequest as error:
        if error.field.startswith("resume"):
            raise
        raise error.under("input") from None


async def _not_built(context: grpc.aio.ServicerContext, method: str) -> NoReturn:
    message = f"{SERVICE}/{method} is not supported by this version"
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, message)
    raise AssertionError("abort raises")
