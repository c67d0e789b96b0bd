"""Chat prompts of the contract: what is taken, and what is refused under which name."""

from __future__ import annotations

import math
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct

from palimpsest.engine.api import InvalidRequest, Unsupported
from palimpsest.server.conversation import conversation
from palimpsest.server.prompts import ChatMessage, Tool, ToolCall
from palimpsest.v1 import chat_pb2

SYSTEM = chat_pb2.CHAT_ROLE_SYSTEM
USER = chat_pb2.CHAT_ROLE_USER
ASSISTANT = chat_pb2.CHAT_ROLE_ASSISTANT
TOOL = chat_pb2.CHAT_ROLE_TOOL
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def struct(members: dict[str, Any]) -> Struct:
    message = Struct()
    message.update(members)
    return message


def said(role: chat_pb2.ChatRole.ValueType, *texts: str, thought: str = "") -> chat_pb2.ChatMessage:
    parts = [chat_pb2.ContentPart(text=text) for text in texts]
    return chat_pb2.ChatMessage(role=role, parts=parts, thought=thought)


def called(*calls: chat_pb2.ToolCall, thought: str = "") -> chat_pb2.ChatMessage:
    return chat_pb2.ChatMessage(role=ASSISTANT, tool_calls=calls, thought=thought)


def call(name: str, call_id: str = "", **arguments: object) -> chat_pb2.ToolCall:
    return chat_pb2.ToolCall(id=call_id, name=name, arguments=struct(arguments))


def result(
    *texts: str, to: str = "", name: str = "", response: dict[str, Any] | None = None
) -> chat_pb2.ChatMessage:
    message = said(TOOL, *texts)
    message.tool_result.CopyFrom(chat_pb2.ToolResult(tool_call_id=to, name=name))
    if response is not None:
        message.tool_result.response.CopyFrom(struct(response))
    return message


def read(*messages: chat_pb2.ChatMessage) -> tuple[ChatMessage, ...]:
    return conversation(chat_pb2.ChatPrompt(messages=messages), "chat").messages


def refusal(chat: chat_pb2.ChatPrompt) -> str:
    with pytest.raises(InvalidRequest) as caught:
        conversation(chat, "chat")
    return str(caught.value)


def test_results_are_joined_to_their_calls_by_id() -> None:
    calls = (call("f", "a", x=1), call("g", "b"))
    *_, second, first = read(
        said(USER, "q"), called(*calls), result("G", to="b"), result(to="a", response={"ok": True})
    )
    assert second.answers == ToolCall(id="b", name="g", arguments={})
    assert second.content == "G"
    assert first.answers == ToolCall(id="a", name="f", arguments={"x": 1})
    assert first.content == {"ok": True}


def test_results_without_ids_answer_the_calls_in_their_order() -> None:
    messages = read(
        said(USER, "q"),
        called(call("f"), call("g", "call_0")),
        result("F"),
        result(""),
        called(call("h")),
        result("H", name="h"),
        said(ASSISTANT, "done"),
    )
    answered = [message.answers for message in messages if message.answers]
    assert [(made.id, made.name) for made in answered] == [
        ("call_1", "f"),
        ("call_0", "g"),
        ("call_2", "h"),
    ]
    assert [message.content for message in messages if message.answers] == ["F", "", "H"]


def test_thoughts_and_calls_of_the_past_are_kept() -> None:
    _, message, *_ = read(said(USER, "q"), called(call("f", "a"), thought="hm"), result("1"))
    assert message == ChatMessage(
        role="assistant",
        content="",
        thought="hm",
        tool_calls=(ToolCall(id="a", name="f", arguments={}),),
    )


def test_an_answer_may_have_ended_before_its_first_word() -> None:
    _, message, _ = read(said(USER, "q"), said(ASSISTANT, thought="hm"), said(USER, "go on"))
    assert message == ChatMessage(role="assistant", content="", thought="hm")


def test_numbers_of_the_wire_are_whole_where_they_are() -> None:
    numbers = {"a": 2, "b": 2.5, "c": -0.0, "d": 2.0**53, "e": 1e300, "f": [1, {"g": None}]}
    _, message, _ = read(said(USER, "q"), called(call("f", **numbers)), result("1"))
    [made] = message.tool_calls
    assert repr(dict(sorted(made.arguments.items()))) == repr(
        {"a": 2, "b": 2.5, "c": 0, "d": 2**53, "e": 1e300, "f": [1, {"g": None}]}
    )


def test_tools_and_switches_are_taken_as_they_are() -> None:
    tool = chat_pb2.Tool(name="weather", description="Look.", parameters=struct(WEATHER))
    chat = chat_pb2.ChatPrompt(
        messages=[said(USER, "q")],
        tools=[tool, chat_pb2.Tool(name="now", response=struct({"type": "string"}))],
        tool_choice=chat_pb2.ToolChoice(mode=chat_pb2.TOOL_CHOICE_MODE_AUTO),
        enable_thinking=False,
        template_kwargs=struct({"preserve_thinking": True, "n": 3}),
    )
    read = conversation(chat, "chat")
    assert read.tools == (
        Tool(name="weather", description="Look.", parameters=WEATHER),
        Tool(name="now", response={"type": "string"}),
    )
    assert read.enable_thinking is False
    assert read.template_kwargs == {"preserve_thinking": True, "n": 3}


def test_thinking_is_the_servers_business_unless_it_is_said() -> None:
    prompt = chat_pb2.ChatPrompt(messages=[said(USER, "q")])
    assert conversation(prompt, "chat").enable_thinking is None


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        (
            [said(USER, "q"), said(SYSTEM, "s")],
            "chat.messages[1].role: SYSTEM only comes first",
        ),
        (
            [said(USER, "q", thought="hm")],
            "chat.messages[0].thought: only an ASSISTANT message has this",
        ),
        (
            [chat_pb2.ChatMessage(role=USER, tool_calls=[call("f")])],
            "chat.messages[0].tool_calls: only an ASSISTANT message has this",
        ),
        (
            [chat_pb2.ChatMessage(role=USER, tool_result=chat_pb2.ToolResult())],
            "chat.messages[0].tool_result: a TOOL message has this, and no other",
        ),
        (
            [said(TOOL, "1")],
            "chat.messages[0].tool_result: a TOOL message has this, and no other",
        ),
        (
            [result("1")],
            "chat.messages[0].tool_result: no call before it waits for a result",
        ),
        (
            [said(USER, "q"), called(call("f")), result("1"), result("2")],
            "chat.messages[3].tool_result: no call before it waits for a result",
        ),
        (
            [called(call("f", "a"), call("g", "b")), result("1", to="c")],
            "chat.messages[1].tool_result.tool_call_id: 'c' is none of the calls that wait for "
            "one: 'a', 'b'",
        ),
        (
            [called(call("f", "a")), result("1", to="a", name="g")],
            "chat.messages[1].tool_result.name: 'g' is not 'f' of the call",
        ),
        (
            [called(call("f", "a")), result(to="a")],
            "chat.messages[1].parts: set this or tool_result.response",
        ),
        (
            [called(call("f", "a")), result("1", to="a", response={})],
            "chat.messages[1].parts: set this or tool_result.response, not both",
        ),
        (
            [said(USER, "q"), called(call("f", "a"))],
            "chat.messages[1].tool_calls[0]: the call 'a' of 'f' has no result",
        ),
        (
            [called(call("f", "a"), call("g", "b")), result("1", to="a"), said(USER, "q")],
            "chat.messages[0].tool_calls[1]: the call 'b' of 'g' has no result",
        ),
        (
            [called(call("f", "a"), call("g", "a"))],
            "chat.messages[0].tool_calls[1].id: 'a' is another call's of this message",
        ),
        (
            [called(call("no name"))],
            "chat.messages[0].tool_calls[0].name: 'no name' is not 1 to 64 letters, digits, '_', "
            "'-' and '.'",
        ),
        (
            [called(call("f", x={"y": [math.inf]}))],
            "chat.messages[0].tool_calls[0].arguments.x.y[0]: inf is not a number of JSON",
        ),
    ],
)
def test_a_message_out_of_place_is_refused_by_its_path(
    messages: list[chat_pb2.ChatMessage], complaint: str
) -> None:
    assert refusal(chat_pb2.ChatPrompt(messages=messages)) == complaint


@pytest.mark.parametrize(
    ("tools", "complaint"),
    [
        (
            [chat_pb2.Tool(name="x" * 65)],
            f"chat.tools[0].name: '{'x' * 65}' is not 1 to 64 letters, digits, '_', '-' and '.'",
        ),
        ([chat_pb2.Tool()], "chat.tools[0].name: '' is not 1 to 64 letters, digits, '_', '-' "),
        (
            [chat_pb2.Tool(name="f"), chat_pb2.Tool(name="f")],
            "chat.tools[1].name: 'f' is declared twice",
        ),
        (
            [chat_pb2.Tool(name="f", parameters=struct({"type": "string"}))],
            "chat.tools[0].parameters.type: 'string' is not 'object', which arguments are",
        ),
        (
            [chat_pb2.Tool(name="f", parameters=struct({"properties": [1]}))],
            "chat.tools[0].parameters.properties: [1] is not an object",
        ),
        (
            [chat_pb2.Tool(name="f", parameters=struct({"properties": {"a": "string"}}))],
            "chat.tools[0].parameters.properties.a: 'string' is not a schema",
        ),
        (
            [chat_pb2.Tool(name="f", response=struct({"maximum": math.nan}))],
            "chat.tools[0].response.maximum: nan is not a number of JSON",
        ),
    ],
)
def test_a_tool_that_cannot_be_declared_is_refused_by_its_path(
    tools: list[chat_pb2.Tool], complaint: str
) -> None:
    chat = chat_pb2.ChatPrompt(messages=[said(USER, "q")], tools=tools)
    assert refusal(chat).startswith(complaint)


@pytest.mark.parametrize("name", ["tools", "enable_thinking", "chat_template", "bos_token"])
def test_a_template_variable_that_is_set_elsewhere_is_refused(name: str) -> None:
    chat = chat_pb2.ChatPrompt(messages=[said(USER, "q")], template_kwargs=struct({name: True}))
    expected = f"chat.template_kwargs.{name}: is set elsewhere and cannot be set here"
    assert refusal(chat) == expected


@pytest.mark.parametrize(
    "mode", [chat_pb2.TOOL_CHOICE_MODE_NONE, chat_pb2.TOOL_CHOICE_MODE_REQUIRED]
)
def test_a_tool_choice_that_cannot_be_kept_is_refused_as_unsupported(
    mode: chat_pb2.ToolChoiceMode.ValueType,
) -> None:
    chat = chat_pb2.ChatPrompt(
        messages=[said(USER, "q")], tool_choice=chat_pb2.ToolChoice(mode=mode)
    )
    with pytest.raises(Unsupported) as caught:
        conversation(chat, "chat")
    name = chat_pb2.ToolChoiceMode.Name(mode)
    assert caught.value.field == f"chat.tool_choice.mode={name}"


def test_a_tool_choice_of_a_newer_contract_is_refused() -> None:
    choice = chat_pb2.ToolChoice(mode=77)  # type: ignore[arg-type]
    chat = chat_pb2.ChatPrompt(messages=[said(USER, "q")], tool_choice=choice)
    assert refusal(chat) == "chat.tool_choice.mode: 77 is not a mode"


def test_a_template_variable_without_a_value_is_refused() -> None:
    chat = chat_pb2.ChatPrompt(messages=[said(USER, "q")])
    chat.template_kwargs.fields["a"].SetInParent()
    assert refusal(chat) == "chat.template_kwargs.a: is empty: set a kind of value"
