"""The paths of OpenAI's API, and the path of a request through them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from palimpsest.engine.api import ModelInfo, TextCodec
from palimpsest.server import convert
from palimpsest.server.call import Call
from palimpsest.server.exchange import AnswerEvent
from palimpsest.server.generation import Generator
from palimpsest.server.http.hangup import until_hangup
from palimpsest.server.http.request_ids import accepted
from palimpsest.server.openai.answers import first_call_only
from palimpsest.server.openai.bodies import json_body, too_deep
from palimpsest.server.openai.chat import ChatLayout
from palimpsest.server.openai.completions import CompletionLayout
from palimpsest.server.openai.errors import reply_with_error
from palimpsest.server.openai.logprobs import TokenTexts
from palimpsest.server.openai.members import Members
from palimpsest.server.openai.names import named_as_sent
from palimpsest.server.openai.replies import answer_in
from palimpsest.server.openai.requests import Asked, chat_request, completion_request
from palimpsest.server.openai.response_requests import response_request
from palimpsest.server.openai.responses import answer_with_response
from palimpsest.server.openai.sending import Reply
from palimpsest.server.reception import Reception

Answer = Callable[[AsyncIterator[AnswerEvent], Asked, TokenTexts | None, Reply], Awaitable[None]]


def openai_routes(
    generator: Generator, reception: Reception, *, max_body_bytes: int
) -> list[Route]:
    """For an ASGI app."""
    models = Models(generator, reception)
    answering = {
        "/v1/chat/completions": (chat_request, partial(answer_in, ChatLayout)),
        "/v1/completions": (completion_request, partial(answer_in, CompletionLayout)),
        "/v1/responses": (response_request, answer_with_response),
    }
    return [
        *(
            Route(
                path, Answering(path, generator, reception, max_body_bytes, *how), methods=["POST"]
            )
            for path, how in answering.items()
        ),
        Route("/v1/models", models, methods=["GET"]),
        Route("/v1/models/{name:path}", models, methods=["GET"]),
    ]


class Answering:
    """One path that generates, as an ASGI app."""

    def __init__(
        self,
        path: str,
        generator: Generator,
        reception: Reception,
        max_body_bytes: int,
        read: Callable[[Members, TextCodec], Asked],
        answer: Answer,
    ) -> None:
        """`read` says what a body asks for, `answer` sends what it gets."""
        self._path = path
        self._generator = generator
        self._reception = reception
        self._max_body_bytes = max_body_bytes
        self._read = read
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        call = accepted(request, self._path, self._reception)
        reply = Reply(send, call.request_id)
        async with reply_with_error(reply, call):
            call.let_in()
            body = await json_body(request, self._max_body_bytes)
            await until_hangup(receive, self._generate(body, call, reply))

    async def _generate(self, body: Members, call: Call, reply: Reply) -> None:
        self._generator.model("")  # Raises while the model is being loaded.
        codec = await self._generator.loaded_codec()
        asked = self._asked(body, codec)
        texts = None
        if asked.message.input.sampling.HasField("logprobs"):
            texts = await asyncio.to_thread(TokenTexts, codec)
        with named_as_sent(asked.names):
            wanted = convert.stream_generation(asked.message)
            async with contextlib.aclosing(self._generator.generate(wanted, call)) as events:
                kept = first_call_only(events) if asked.one_call else events
                await self._answer(kept, asked, texts, reply)

    def _asked(self, body: Members, codec: TextCodec) -> Asked:
        try:
            return self._read(body, codec)
        except RecursionError:
            raise too_deep() from None


class Models:
    """Which models there are, as an ASGI app."""

    def __init__(self, generator: Generator, reception: Reception) -> None:
        self._generator = generator
        self._reception = reception
        self._started_s = int(time.time())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        call = accepted(request, "/v1/models", self._reception)
        reply = Reply(send, call.request_id)
        async with reply_with_error(reply, call):
            call.let_in()
            name = request.path_params.get("name", "")
            model = self._described(self._generator.model(name))
            await reply.whole(model if name else {"object": "list", "data": [model]})

    def _described(self, model: ModelInfo) -> dict[str, Any]:
        return {
            "id": model.name,
            "object": "model",
            "created": self._started_s,
            "owned_by": "palimpsest",
            "max_model_len": model.max_context_tokens,
            "canvas_length": model.canvas_length,
        }
