"""Responses, as the official client asks for them and reads them."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from calls import COUNT, REVERSE
from openai import OpenAI
from openai_calls import MODEL, ask, user

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Weather in a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
    "strict": False,
}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
THINKING = {"chat_template_kwargs": {"enable_thinking": True}}
SUM = "add 172 and 651 and 144"
TEXT_EVENTS = [
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.completed",
]
CALL_EVENTS = [
    *TEXT_EVENTS[:3],
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    *TEXT_EVENTS[-2:],
]


def respond(client: OpenAI, given: object, **members: Any) -> Any:  # noqa: ANN401 - client's types
    """With seed 7 unless told otherwise."""
    asked: Any = {"model": MODEL, "input": given, **members}
    asked["extra_body"] = {"seed": 7, **members.get("extra_body", {})}
    return client.responses.create(**asked)


def items_of(response: Any) -> list[Any]:  # noqa: ANN401 - the client's own types
    """The items of an answer, to be sent back."""
    return [item.model_dump(exclude_none=True) for item in response.output]


def test_a_response_has_its_text_its_status_and_its_counts(client: OpenAI) -> None:
    response = respond(client, REVERSE, metadata={"a": "b"})
    assert (response.output_text, response.status) == ("savnac", "completed")
    assert (response.object, response.model, response.metadata) == ("response", MODEL, {"a": "b"})
    assert response.usage.output_tokens == 6
    assert response.usage.total_tokens == response.usage.input_tokens + 6
    assert (response.store, response.tools, response.error) == (False, [], None)


def test_the_parts_of_a_message_are_one_text(client: OpenAI) -> None:
    parts = [{"type": "input_text", "text": text} for text in ("reverse the ", "word: canvas")]
    assert respond(client, [user(parts)]).output_text == "savnac"


def test_instructions_come_before_the_conversation(client: OpenAI) -> None:
    system = {"role": "system", "content": "be brief"}
    in_chat: Any = {"messages": [system, user(REVERSE)], "model": MODEL, "seed": 7}
    answer = client.chat.completions.create(**in_chat)
    response = respond(client, REVERSE, instructions="be brief")
    assert response.output_text == answer.choices[0].message.content
    assert response.usage.input_tokens == answer.usage.prompt_tokens
    assert response.instructions == "be brief"


def test_a_stream_tells_the_response_in_the_official_order(client: OpenAI) -> None:
    events = list(respond(client, COUNT, stream=True))
    assert [event.type for event in events] == TEXT_EVENTS
    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == ask(client, COUNT).choices[0].message.content
    whole = respond(client, COUNT)
    assert events[-1].response.output_text == whole.output_text == text
    assert events[-1].response.usage == whole.usage
    assert events[0].response.status == "in_progress"


def test_drafts_are_events_that_official_clients_pass_over(client: OpenAI) -> None:
    extra: Any = {"seed": 7, "diffusion": {"previews": True, "report": True}}
    with client.responses.stream(model=MODEL, input=REVERSE, extra_body=extra) as stream:
        kinds = [event.type for event in stream]
        final: Any = stream.get_final_response()
    assert "palimpsest.draft" in kinds
    assert final.output_text == "savnac"
    assert final.diffusion["seed"] == 7


def test_a_function_is_called_answered_and_called_again(client: OpenAI) -> None:
    given: list[Any] = []
    weather = {"Oslo": {"degrees": -5, "sky": "cloudy"}, "Rome": {"degrees": 21, "sky": "sunny"}}
    for city, result in weather.items():
        given.append(user(f"weather in {city}"))
        response = respond(client, given, tools=[WEATHER])
        (call,) = response.output
        assert (call.type, call.name) == ("function_call", "get_weather")
        assert json.loads(call.arguments) == {"city": city}
        output = {"type": "function_call_output", "call_id": call.call_id}
        given += [*items_of(response), {**output, "output": json.dumps(result)}]
        response = respond(client, given, tools=[WEATHER])
        expected = f"It is {result['sky']} in {city}, at {result['degrees']} degrees."
        assert response.output_text == expected
        given += items_of(response)


def test_a_call_of_a_stream_comes_in_its_own_events(client: OpenAI) -> None:
    events = list(respond(client, "weather in Oslo", tools=[WEATHER], stream=True))
    assert [event.type for event in events] == CALL_EVENTS
    assert json.loads(events[4].arguments) == {"city": "Oslo"}
    assert events[-1].response.output[0].arguments == events[4].arguments


def test_a_thought_is_an_item_of_its_own_and_may_be_sent_back(client: OpenAI) -> None:
    response = respond(client, SUM, extra_body=THINKING)
    thought, message = response.output
    assert (thought.type, message.content[0].text) == ("reasoning", "967")
    assert thought.content[0].text
    assert response.usage.output_tokens_details.reasoning_tokens > 0

    again = respond(client, [user(SUM), *items_of(response), user(REVERSE)])
    said = {"role": "assistant", "content": "967", "reasoning_content": thought.content[0].text}
    in_chat: Any = {"messages": [user(SUM), said, user(REVERSE)], "model": MODEL, "seed": 7}
    answer = client.chat.completions.create(**in_chat)
    assert again.output_text == answer.choices[0].message.content
    assert again.usage.input_tokens == answer.usage.prompt_tokens

    events = list(respond(client, SUM, extra_body=THINKING, stream=True))
    deltas = [event.delta for event in events if event.type == "response.reasoning_text.delta"]
    assert "".join(deltas) == thought.content[0].text
    assert events[-1].response.output_text == "967"


def test_a_schema_is_kept(client: OpenAI) -> None:
    form = {"type": "json_schema", "name": "person", "schema": PERSON, "strict": True}
    response = respond(client, "as person json: ada, age 36", text={"format": form})
    assert json.loads(response.output_text) == {"name": "ada", "age": 36}
    any_object = {"format": {"type": "json_object"}}
    response = respond(client, REVERSE, text=any_object, max_output_tokens=60)
    assert isinstance(json.loads(response.output_text), dict)


def test_an_answer_that_is_cut_off_is_incomplete(client: OpenAI) -> None:
    response = respond(client, COUNT, max_output_tokens=10)
    assert (response.status, response.usage.output_tokens) == ("incomplete", 10)
    assert response.incomplete_details.reason == "max_output_tokens"
    assert respond(client, COUNT, max_output_tokens=10, stream=True).response.status_code == 200


def test_log_probabilities_stand_beside_the_text(client: OpenAI) -> None:
    wanted: Any = {"include": ["message.output_text.logprobs"], "top_logprobs": 2}
    (message,) = respond(client, REVERSE, **wanted).output
    entries = message.content[0].logprobs
    assert "".join(entry.token for entry in entries) == "savnac"
    assert all(len(entry.top_logprobs) == 2 for entry in entries)


CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "d", "output": "x"}


@pytest.mark.parametrize(
    ("members", "param", "message"),
    [
        ({"store": True}, "store", "true is not supported by this version: false is"),
        ({"previous_response_id": "resp_1"}, "previous_response_id", "send the whole conversation"),
        ({"conversation": "conv_1"}, "conversation", "send the whole conversation"),
        ({"background": True}, "background", "true is not supported"),
        ({"truncation": "auto"}, "truncation", '"auto" is not supported'),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", "'web_search' is not supported"),
        ({"tools": [WEATHER, WEATHER]}, "tools[1].name", "is declared twice"),
        ({"tool_choice": "required"}, "tool_choice", '"required" is not supported'),
        ({"max_tool_calls": 3}, "max_tool_calls", "not supported"),
        ({"include": ["file_search_call.results"]}, "include[0]", "is not supported"),
        ({"max_output_tokens": 0}, "max_output_tokens", "0 is outside 1 to 262144"),
        ({"temperature": -1}, "temperature", "-1.0 is outside 0.0 to 100.0"),
        ({"reasoning": {"effort": "xhigh"}}, "reasoning.effort", "'xhigh' is none of none, low"),
        ({"text": {"verbosity": "low"}}, "text.verbosity", "not supported"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type", "'xml' is none of text"),
        (
            {"text": {"format": {"type": "json_schema", "name": "x", "schema": {"not": {}}}}},
            "text.format",
            "keyword 'not' of $",
        ),
        ({"input": ""}, "input", "is empty"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type", "'item_reference'"),
        (
            {"input": [user([{"type": "input_image", "image_url": "data:,"}])]},
            "input[0].content[0].image_url",
            "is no data URL in base64",
        ),
        (
            {"input": [user([{"type": "input_file", "file_id": "x"}])]},
            "input[0].content[0].type",
            "'input_file' is not supported by this version: input_text, output_text, input_image",
        ),
        ({"input": [user("a"), CALL]}, "input[1]", "the call 'c' of 'f' has no result"),
        (
            {"input": [user("a"), CALL, RESULT]},
            "input[2].call_id",
            "'d' is none of the calls that wait for one: 'c'",
        ),
        ({"input": [user("a"), {**CALL, "arguments": "{"}]}, "input[1].arguments", "is not JSON"),
        ({"extra_body": {"n": 2}}, "n", "a response is one answer"),
    ],
)
def test_what_is_not_there_is_refused_by_the_name_that_was_sent(
    client: OpenAI, members: dict[str, Any], param: str, message: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        respond(client, members.pop("input", REVERSE), **members)
    assert caught.value.param == param
    assert message in str(caught.value)
