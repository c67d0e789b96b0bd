"""Thoughts and calls of an answer as both clients give them, and a loop of calls and results."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct

from palimpsest import AsyncClient, Client, errors
from palimpsest.answer import json_record
from palimpsest.events import Commit, Snapshot, Span, ToolCall
from palimpsest.requests import NO_DRAFTS
from palimpsest.v1 import canvas_pb2, chat_pb2, generation_pb2
from palimpsest.v1.service_pb2_grpc import DiffusionServiceServicer

ARGUMENTS = {"city": "Oslo", "days": 2, "at": {"lat": 59.9, "near": [None, True]}}
CALL = ToolCall(id="call_0", name="weather", arguments=ARGUMENTS)
QUESTION = {"role": "user", "content": "How is the weather?"}
TOOLS = [{"name": "add", "parameters": {"type": "object"}}]


def written(call: ToolCall) -> chat_pb2.ToolCall:
    arguments = Struct()
    arguments.update(call.arguments)
    return chat_pb2.ToolCall(id=call.id, name=call.name, arguments=arguments)


class Calling(DiffusionServiceServicer):
    """Thinks and calls a tool until it sees two results; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[chat_pb2.ChatPrompt] = []

    def StreamGenerate(
        self, request: generation_pb2.StreamGenerateRequest, context: grpc.ServicerContext
    ) -> Iterator[generation_pb2.StreamGenerateResponse]:
        thought = canvas_pb2.ContentSpan(kind=canvas_pb2.CONTENT_KIND_THOUGHT, start=1, length=3)
        newer = canvas_pb2.ContentSpan(kind=77, start=4, length=1)  # type: ignore[arg-type]
        shown = canvas_pb2.CanvasSnapshot(text="Let", thought="I", spans=[thought, newer])
        done = canvas_pb2.CanvasCommit(
            text_delta="Let me see.", thought_delta="I need it.", tool_calls=[written(CALL)]
        )
        yield generation_pb2.StreamGenerateResponse(sequence=1, snapshot=shown)
        yield generation_pb2.StreamGenerateResponse(sequence=2, commit=done)

    def Generate(
        self, request: generation_pb2.GenerateRequest, context: grpc.ServicerContext
    ) -> generation_pb2.GenerateResponse:
        chat = request.input.prompt.chat
        self.asked.append(chat)
        results = sum(message.role == chat_pb2.CHAT_ROLE_TOOL for message in chat.messages)
        if results == 2:
            return generation_pb2.GenerateResponse(
                text="Dry.", finish_reason=generation_pb2.FINISH_REASON_STOP
            )
        call = ToolCall(id=f"call_{results}", name="weather", arguments=ARGUMENTS)
        return generation_pb2.GenerateResponse(
            thought="I need it.",
            tool_calls=[written(call)],
            finish_reason=generation_pb2.FINISH_REASON_TOOL_CALLS,
        )


@pytest.fixture
def calling(serve: Any) -> tuple[Calling, str]:  # noqa: ANN401 - a fixture of conftest
    servicer = Calling()
    return servicer, serve(servicer)


def test_a_stream_brings_thought_and_calls(calling: tuple[Calling, str]) -> None:
    with Client(calling[1]) as client:
        snapshot, commit = client.stream(messages=[QUESTION])
    assert isinstance(snapshot, Snapshot)
    assert (snapshot.text, snapshot.thought) == ("Let", "I")
    assert snapshot.spans == (Span(kind="thought", start=1, length=3),)
    assert isinstance(commit, Commit)
    assert (commit.text_delta, commit.thought_delta) == ("Let me see.", "I need it.")
    assert commit.tool_calls == (CALL,)
    assert repr(commit.tool_calls[0].arguments["days"]) == "2"


def test_events_with_calls_can_be_written_as_json(calling: tuple[Calling, str]) -> None:
    with Client(calling[1]) as client:
        records = [json.loads(json.dumps(json_record(e))) for e in client.stream("q")]
    assert records[0]["spans"] == [{"kind": "thought", "start": 1, "length": 3}]
    [call] = records[1]["tool_calls"]
    assert call == {"id": "call_0", "name": "weather", "arguments": ARGUMENTS}
    assert records[1]["thought_delta"] == "I need it."


async def test_the_asyncio_client_brings_the_same(calling: tuple[Calling, str]) -> None:
    with Client(calling[1]) as client:
        async with AsyncClient(calling[1]) as aio:
            assert [event async for event in aio.stream("q")] == list(client.stream("q"))
            assert await aio.generate(messages=[QUESTION]) == client.generate(messages=[QUESTION])


def test_calls_and_results_go_round_until_there_is_an_answer(calling: tuple[Calling, str]) -> None:
    servicer, address = calling
    messages: list[dict[str, Any]] = [QUESTION]
    with Client(address) as client:
        answer = client.generate(messages=messages, tools=TOOLS, enable_thinking=True)
        while answer.finish_reason == "tool_calls":
            messages.append(
                {
                    "role": "assistant",
                    "content": answer.text,
                    "thought": answer.thought,
                    "tool_calls": answer.tool_calls,
                }
            )
            for call in answer.tool_calls:
                result = {"sky": "blue", "days": call.arguments["days"]}
                messages.append({"role": "tool", "tool_call_id": call.id, "response": result})
            answer = client.generate(messages=messages, tools=TOOLS, enable_thinking=True)
    assert answer.text == "Dry."
    assert [len(chat.messages) for chat in servicer.asked] == [1, 3, 5]
    last = servicer.asked[-1]
    assert [message.tool_result.tool_call_id for message in last.messages[2::2]] == [
        "call_0",
        "call_1",
    ]
    assert last.messages[1].tool_calls[0] == written(CALL)
    assert last.messages[1].thought == "I need it."
    assert last.enable_thinking
    assert last.tools[0].name == "add"


@pytest.fixture(scope="module")
def client(server_address: str) -> Iterator[Client]:
    with Client(server_address) as client:
        yield client


HISTORY: list[dict[str, Any]] = [
    {"role": "user", "content": "What is 2 + 3?"},
    {
        "role": "assistant",
        "thought": "I add.",
        "tool_calls": [{"name": "add", "arguments": {"a": 2, "b": 3}}],
    },
    {"role": "tool", "response": {"sum": 5}},
]


async def test_a_real_server_counts_thoughts_calls_and_tools(
    server_address: str, client: Client
) -> None:
    bare = client.count_tokens(messages=HISTORY)
    thinking = client.count_tokens(messages=HISTORY, enable_thinking=True)
    declared = client.count_tokens(messages=HISTORY, tools=TOOLS)
    assert bare < min(thinking, declared)
    async with AsyncClient(server_address) as aio:
        assert await aio.count_tokens(messages=HISTORY, tools=TOOLS) == declared
    answer = client.generate(messages=HISTORY, tools=TOOLS, seed=7, max_output_tokens=8)
    assert answer.usage.prompt_tokens == declared


def test_thoughts_of_earlier_turns_cost_nothing(client: Client) -> None:
    over = [
        *HISTORY,
        {"role": "assistant", "content": "5", "thought": "It is five."},
        {"role": "user", "content": "and 4 + 4?"},
    ]
    thoughtless = [
        {name: value for name, value in message.items() if name != "thought"} for message in over
    ]
    assert client.count_tokens(messages=over) == client.count_tokens(messages=thoughtless)
    kept = client.count_tokens(messages=HISTORY)
    assert kept > client.count_tokens(messages=thoughtless[:3])


@pytest.mark.parametrize("choice", ["none", "required"])
def test_a_tool_choice_that_the_server_cannot_keep_is_named(client: Client, choice: Any) -> None:  # noqa: ANN401
    with pytest.raises(errors.Unimplemented, match=f"TOOL_CHOICE_MODE_{choice.upper()}"):
        client.generate("What is 2 + 3?", tools=TOOLS, tool_choice=choice)


def test_what_the_server_refuses_of_a_conversation_is_told_by_its_path(client: Client) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        list(client.stream(messages=HISTORY[:2], preview=NO_DRAFTS))
    assert [v.field for v in caught.value.violations] == [
        "input.prompt.chat.messages[1].tool_calls[0]"
    ]


@pytest.mark.parametrize("method", ["stream", "generate", "count_tokens", "model", "models"])
def test_both_clients_take_the_same_arguments(method: str) -> None:
    def parameters(client: type) -> list[inspect.Parameter]:
        return list(inspect.signature(getattr(client, method)).parameters.values())

    assert parameters(Client) == parameters(AsyncClient)
