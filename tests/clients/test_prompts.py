"""Conversations, tools and switches become the contract's messages, or are refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from palimpsest.errors import InvalidRequest
from palimpsest.events import ToolCall
from palimpsest.media import Image
from palimpsest.prompts import ChatOptions, PromptSource, prompt_of
from palimpsest.structs import plain
from palimpsest.v1 import chat_pb2

QUESTION = {"role": "user", "content": "What is 2 + 3?"}
HALF = "caf\udce9"
"""How Python reads bytes of Latin-1 as UTF-8."""
CALL = {"id": "call_0", "name": "add", "arguments": {"a": 2, "b": [3, None]}}
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}}


def chat(*messages: dict[str, Any], **options: Any) -> chat_pb2.ChatPrompt:  # noqa: ANN401
    source = PromptSource(messages=messages or (QUESTION,), options=ChatOptions(**options))
    return prompt_of(source).chat


def test_calls_and_results_become_messages() -> None:
    _, asked, text, thing = chat(
        QUESTION,
        {"role": "assistant", "thought": "I add.", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_0", "name": "add", "content": "5"},
        {"role": "tool", "response": {"sum": 5}},
    ).messages
    assert (asked.thought, list(asked.parts)) == ("I add.", [])
    [call] = asked.tool_calls
    assert (call.id, call.name) == ("call_0", "add")
    assert plain(call.arguments) == {"a": 2, "b": [3, None]}
    assert (text.tool_result.tool_call_id, text.tool_result.name) == ("call_0", "add")
    assert ([part.text for part in text.parts], text.tool_result.HasField("response")) == (
        ["5"],
        False,
    )
    assert (list(thing.parts), plain(thing.tool_result.response)) == ([], {"sum": 5})


def test_an_assistants_message_may_have_text_and_calls() -> None:
    answered = {"role": "assistant", "content": "Let me see.", "tool_calls": [CALL]}
    _, message = chat(QUESTION, answered).messages
    assert [part.text for part in message.parts] == ["Let me see."]
    assert len(message.tool_calls) == 1


def test_the_calls_of_an_answer_can_be_given_back_as_they_are() -> None:
    call = ToolCall(id="call_0", name="add", arguments={"a": 2})
    _, message = chat(QUESTION, {"role": "assistant", "tool_calls": (call,)}).messages
    [written] = message.tool_calls
    assert (written.id, written.name, plain(written.arguments)) == ("call_0", "add", {"a": 2})


@pytest.mark.parametrize(
    ("source", "field"),
    [
        (PromptSource(prompt=HALF), "chat.messages[0].content"),
        (PromptSource(prompt=["what?", HALF]), "chat.messages[0].content[1]"),
        (PromptSource(prompt=[Image(f"http://{HALF}")]), "chat.messages[0].content[0]"),
        (PromptSource(raw_text=HALF), "text"),
        (
            PromptSource(messages=[{"role": "system", "content": HALF}, QUESTION]),
            "chat.messages[0].content",
        ),
    ],
)
def test_text_that_cannot_be_sent_is_refused_by_name(source: PromptSource, field: str) -> None:
    with pytest.raises(InvalidRequest, match="is no character") as caught:
        prompt_of(source)
    assert [violation.field for violation in caught.value.violations] == [f"input.prompt.{field}"]


def test_an_empty_result_is_a_result() -> None:
    _, _, message = chat(
        QUESTION,
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "content": ""},
    ).messages
    assert [part.text for part in message.parts] == [""]
    assert message.HasField("tool_result")


def test_tools_become_declarations() -> None:
    tools = [
        {"name": "weather", "description": "Look.", "parameters": WEATHER},
        {"name": "now", "response": {"type": "string"}},
    ]
    weather, now = chat(tools=tools).tools
    assert (weather.name, weather.description) == ("weather", "Look.")
    assert plain(weather.parameters) == WEATHER
    assert not weather.HasField("response")
    assert not now.HasField("parameters")
    assert plain(now.response) == {"type": "string"}


def test_what_is_not_given_is_left_unset() -> None:
    options = {"tools": None, "tool_choice": None, "enable_thinking": None, "template_kwargs": None}
    for prompt in (chat(), chat(**options)):
        assert [field.name for field, _ in prompt.ListFields()] == ["messages"]


@pytest.mark.parametrize("enable_thinking", [True, False])
def test_thinking_can_be_said_either_way(enable_thinking: bool) -> None:
    prompt = chat(enable_thinking=enable_thinking)
    assert prompt.HasField("enable_thinking")
    assert prompt.enable_thinking is enable_thinking


def test_the_tool_choice_is_a_mode_or_a_tool() -> None:
    assert chat(tool_choice="none").tool_choice.mode == chat_pb2.TOOL_CHOICE_MODE_NONE
    choice = chat(tool_choice={"mode": "required", "tool_name": "add"}).tool_choice
    assert choice.mode == chat_pb2.TOOL_CHOICE_MODE_REQUIRED
    assert choice.tool_name == "add"


def test_template_variables_are_passed_on() -> None:
    kwargs = chat(template_kwargs={"style": {"terse": True}}).template_kwargs
    assert plain(kwargs) == {"style": {"terse": True}}


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        (
            [{"role": "user", "content": "q", "thought": "hm"}],
            "messages[0].thought: unknown field; a message of role user has role, content",
        ),
        (
            [{"role": "assistant", "content": "a", "name": "x"}],
            "messages[0].name: unknown field; a message of role assistant has role, content",
        ),
        ([{"role": "assistant"}], "messages[0].content: None is not text"),
        ([{"role": "tool"}], "messages[0].content: None is not text"),
        ([{"role": "tool", "content": 5}], "messages[0].content: 5 is not text"),
        ([{"role": "tool", "response": [5]}], "messages[0].response: [5] is not an object"),
        (
            [{"role": "assistant", "tool_calls": ["add"]}],
            "messages[0].tool_calls[0]: 'add' is not a mapping with id, name, arguments",
        ),
        (
            [{"role": "assistant", "tool_calls": [{"function": {}}]}],
            "messages[0].tool_calls[0].function: unknown field; a call has id, name, arguments",
        ),
        (
            [{"role": "assistant", "tool_calls": [{"name": "f", "arguments": "{}"}]}],
            "messages[0].tool_calls[0].arguments: '{}' is not an object",
        ),
        (
            [{"role": "assistant", "tool_calls": [{"name": "f", "arguments": {"a": {1, 2}}}]}],
            "messages[0].tool_calls[0].arguments: {'a': {1, 2}} is not JSON: ",
        ),
        (
            [{"role": "assistant", "tool_calls": [{"name": "f", "arguments": {"a": [2**53 + 1]}}]}],
            "messages[0].tool_calls[0].arguments.a[0]: 9007199254740993 is above 2^53",
        ),
    ],
)
def test_a_message_that_does_not_fit_is_refused_by_its_path(
    messages: list[dict[str, Any]], complaint: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        chat(*messages)
    assert str(caught.value).startswith(f"input.prompt.chat.{complaint}")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"tools": [{"type": "function"}]}, "tools[0].type: unknown field; a tool has name, desc"),
        ({"tools": [{"description": "x"}]}, "tools[0].name: None is not text"),
        ({"tools": ["f"]}, "tools[0]: 'f' is not a mapping with name, description, parameters, "),
        (
            {"tools": [{"name": "f", "parameters": "{}"}]},
            "tools[0].parameters: '{}' is not an object",
        ),
        ({"tool_choice": "maybe"}, "tool_choice.mode: 'maybe' is none of auto, none, required"),
        ({"tool_choice": {"tool": "f"}}, "tool_choice.tool: unknown field; a tool choice has mode"),
        ({"template_kwargs": 3}, "template_kwargs: 3 is not an object"),
    ],
)
def test_an_option_that_does_not_fit_is_refused_by_its_path(
    options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        chat(**options)
    assert str(caught.value).startswith(f"input.prompt.chat.{complaint}")


def test_raw_text_takes_no_options_of_a_conversation() -> None:
    source = PromptSource(raw_text="<bos>", options={"enable_thinking": True, "tools": None})
    with pytest.raises(InvalidRequest) as caught:
        prompt_of(source)
    assert [v.field for v in caught.value.violations] == ["input.prompt.chat.enable_thinking"]
