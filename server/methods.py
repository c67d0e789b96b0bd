"""What each method of DiffusionService does, whatever carries it: messages of the contract in and
out. All over generation.py and decide.py.

Raises the engine's own errors; errors.py says what they mean to a caller.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Iterator

from palimpsest.engine.api import InvalidRequest
from palimpsest.server import convert, fields, replies
from palimpsest.server.call import Call
from palimpsest.server.decide import Decider
from palimpsest.server.drafts import DraftWriter
from palimpsest.server.engine_state import EngineWatch, interval_s
from palimpsest.server.generation import Generator
from palimpsest.server.strict import refuse_unsupported
from palimpsest.v1 import decide_pb2, engine_state_pb2, generation_pb2, model_pb2


class Methods:
    """Answers requests; made once, and shared by all transports."""

    def __init__(self, generator: Generator, decider: Decider, watch: EngineWatch) -> None:
        self._generator = generator
        self._decider = decider
        self._watch = watch

    async def stream_generate(
        self, request: generation_pb2.StreamGenerateRequest, call: Call
    ) -> AsyncGenerator[generation_pb2.StreamGenerateResponse, None]:
        """Closing the iterator frees the engine at its next step."""
        wanted = convert.stream_generation(request)
        answer, drafts = self._generator.generate(wanted, call), DraftWriter(wanted.preview)
        async with contextlib.aclosing(answer):
            with _below_input():
                async for event in answer:
                    yield replies.stream_response(event, drafts)

    async def generate(
        self, request: generation_pb2.GenerateRequest, call: Call
    ) -> generation_pb2.GenerateResponse:
        wanted = convert.unary_generation(request)
        with _below_input():
            events = [event async for event in self._generator.generate(wanted, call)]
        return replies.whole_answer(events)

    async def count_tokens(
        self, request: model_pb2.CountTokensRequest, call: Call
    ) -> model_pb2.CountTokensResponse:
        prompt = convert.count_prompt(request)
        count = await self._generator.count_tokens(request.model, prompt, call)
        return model_pb2.CountTokensResponse(token_count=count)

    async def get_model(
        self, request: model_pb2.GetModelRequest, call: Call
    ) -> model_pb2.GetModelResponse:
        refuse_unsupported(request, fields.GET_MODEL)
        model = self._generator.model(request.model)
        return model_pb2.GetModelResponse(model=replies.model_message(model))

    async def list_models(
        self, request: model_pb2.ListModelsRequest, call: Call
    ) -> model_pb2.ListModelsResponse:
        refuse_unsupported(request, fields.LIST_MODELS)
        model = self._generator.model("")
        return model_pb2.ListModelsResponse(models=[replies.model_message(model)])

    async def decide(
        self, request: decide_pb2.DecideRequest, call: Call
    ) -> decide_pb2.DecideResponse:
        inquiry = convert.inquiry(request)
        return replies.decided(await self._decider.decide(inquiry, call))

    async def watch_engine(
        self, request: engine_state_pb2.WatchEngineRequest, call: Call
    ) -> AsyncGenerator[engine_state_pb2.WatchEngineResponse, None]:
        """Ends in TimeoutError with the call's time, however that was limited."""
        every_s = interval_s(request)
        if request.model:
            self._generator.model(request.model)
        states = self._watch.states(every_s, call, canvases=request.include_canvases)
        async with contextlib.aclosing(states):
            async for state in states:
                yield engine_state_pb2.WatchEngineResponse(state=state)


@contextlib.contextmanager
def _below_input() -> Iterator[None]:
    """Generation knows no `input` around prompt and sampling; the contract does."""
    try:
        yield
    except InvalidRequest as error:
        if error.field.startswith("resume"):
            raise
        raise error.under("input") from None
