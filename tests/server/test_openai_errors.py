"""How a call over OpenAI's API ends, whatever happens in it."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from starlette.types import Message

from palimpsest.engine.api import EngineError, EngineStopped, InvalidRequest, Overloaded
from palimpsest.server.call import Call
from palimpsest.server.errors import TABLE
from palimpsest.server.http.hangup import HungUp
from palimpsest.server.logs import Text
from palimpsest.server.openai.errors import api_error, reply_with_error
from palimpsest.server.openai.names import Names
from palimpsest.server.openai.sending import Reply

NAMES = Names(prompt="messages", limit="max_tokens", logprobs="top_logprobs")


class Sent:
    """What an ASGI server was given."""

    def __init__(self) -> None:
        self._messages: list[Message] = []

    async def send(self, message: Message) -> None:
        self._messages.append(message)

    @property
    def status(self) -> int:
        return self._messages[0]["status"]

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self._messages[0]["headers"]}

    @property
    def body(self) -> bytes:
        assert not self._messages[-1].get("more_body")
        return b"".join(message["body"] for message in self._messages[1:])


async def ending_in(error: BaseException, *, mid_stream: bool = False) -> Sent:
    """What is sent when answering ends in `error`."""
    sent = Sent()
    reply = Reply(sent.send, "r-1")
    call = Call(method="/v1/x", request_id="r-1", time_limit_s=60.0, trace=None)
    async with reply_with_error(reply, call):
        if mid_stream:
            await reply.event({"choices": []})
        raise error
    return sent


def failure(kind: type[Exception]) -> Exception:
    """One of each kind in the table."""
    if issubclass(kind, InvalidRequest):
        return kind("sampling.n", "is bad")
    return kind("why", 2.5) if kind in (Overloaded, EngineStopped) else kind("why")


@pytest.mark.parametrize("kind", TABLE)
async def test_every_error_has_a_status_a_type_and_a_code(kind: type[Exception]) -> None:
    sent = await ending_in(failure(kind))
    error = json.loads(sent.body)["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["code"] == TABLE[kind].reason.lower()
    assert error["type"] == ("server_error" if sent.status >= 500 else error["type"])
    assert sent.headers["x-request-id"] == "r-1"


@pytest.mark.parametrize(
    ("error", "status"), [(Overloaded("full", 2.5), 429), (EngineStopped("gone", 0.2), 503)]
)
async def test_what_is_worth_trying_again_says_when_in_whole_seconds(
    error: Overloaded | EngineStopped, status: int
) -> None:
    sent = await ending_in(error)
    assert (sent.status, sent.headers["retry-after"]) == (status, "3" if status == 429 else "1")


async def test_what_took_too_long_is_not_to_be_sent_again() -> None:
    sent = await ending_in(TimeoutError("too long"))
    assert (sent.status, sent.headers["x-should-retry"]) == (504, "false")


async def test_an_error_in_mid_stream_is_its_last_event() -> None:
    sent = await ending_in(EngineStopped("gone"), mid_stream=True)
    assert sent.status == 200
    first, last, rest = sent.body.decode().split("\n\n")
    assert (first, rest) == ('data: {"choices":[]}', "")
    assert json.loads(last.removeprefix("data: "))["error"]["message"] == "gone"


async def test_an_unknown_failure_tells_the_request_id_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.handler.setFormatter(Text())
    with caplog.at_level(logging.ERROR):
        sent = await ending_in(ZeroDivisionError("secret"))
    assert sent.status == 500
    assert b"secret" not in sent.body
    assert b"(request r-1)" in sent.body
    assert "secret" in caplog.text


async def test_a_client_that_is_gone_is_sent_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.handler.setFormatter(Text())
    with caplog.at_level(logging.INFO):
        sent = await ending_in(HungUp())
    with pytest.raises(IndexError):
        _ = sent.status
    assert "status=CANCELLED" in caplog.text


async def test_a_server_that_ends_in_a_hurry_still_says_so() -> None:
    assert (await ending_in(asyncio.CancelledError())).status == 503


@pytest.mark.parametrize(
    ("field", "sent_as"),
    [
        ("input.sampling.temperature", "temperature"),
        ("sampling.max_output_tokens", "max_tokens"),
        ("sampling.logprobs", "top_logprobs"),
        ("sampling.response_format.json_schema", "response_format"),
        ("sampling.entropy_bound", "diffusion.entropy_bound"),
        ("preview.every_n_steps", "diffusion.every_n_steps"),
        ("input.prompt.chat.messages[1].parts", "messages[1].content"),
        ("input.prompt.chat.messages[1].tool_result.name", "messages[1].name"),
        ("input.prompt.chat.messages[1].tool_result", "messages[1].tool_call_id"),
        (
            "input.prompt.chat.messages[1].tool_calls[2].arguments.a",
            "messages[1].tool_calls[2].function.arguments.a",
        ),
        ("prompt.chat.tools[0].parameters.type", "tools[0].function.parameters.type"),
        ("prompt.chat.enable_thinking", "chat_template_kwargs.enable_thinking"),
        ("prompt", "messages"),
    ],
)
def test_fields_have_the_names_of_the_body(field: str, sent_as: str) -> None:
    assert NAMES.of(field) == sent_as


def test_a_fault_of_the_engine_is_the_servers() -> None:
    body: dict[str, Any] = api_error(EngineError("broken")).body()
    assert body["error"]["type"] == "server_error"
