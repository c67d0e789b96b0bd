"""Chat completions, as the official client asks for them and reads them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from calls import COUNT, REVERSE, asking, generate
from openai import OpenAI
from openai_calls import MODEL, WEATHER, ask, drafts, text_of, user
from server_process import ServerProcess

from palimpsest.v1 import sampling_pb2

THINKING = {"chat_template_kwargs": {"enable_thinking": True}}
SUM = "add 172 and 651 and 144"
STRANGE = "tell me something strange"
"""No skill of the bundled model: what it says is the seed's doing."""
SHORT: dict[str, Any] = {
    "max_tokens": 20,
    "extra_body": {"diffusion": {"max_denoising_steps": 8}},
}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def test_an_answer_has_its_text_its_end_and_its_counts(client: OpenAI) -> None:
    answer = ask(client, REVERSE)
    (choice,) = answer.choices
    assert (choice.message.content, choice.finish_reason) == ("savnac", "stop")
    assert (answer.object, answer.model) == ("chat.completion", MODEL)
    assert answer.usage.completion_tokens == 6
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 6
    assert answer.usage.completion_tokens_details.reasoning_tokens == 0


def test_one_seed_gives_the_text_that_it_gives_over_grpc(
    server: ServerProcess, client: OpenAI
) -> None:
    for seed in (1, 2**64 - 1):
        sampling = sampling_pb2.SamplingParameters(
            seed=seed, max_denoising_steps=8, max_output_tokens=20
        )
        expected = generate(server, asking(STRANGE, sampling))
        (choice,) = ask(client, STRANGE, seed=seed, **SHORT).choices
        assert choice.message.content == expected.text


def test_a_stream_brings_the_same_text_canvas_by_canvas(client: OpenAI) -> None:
    chunks = list(ask(client, COUNT, stream=True, stream_options={"include_usage": True}))
    whole = ask(client, COUNT)
    assert text_of(chunks) == whole.choices[0].message.content
    assert len([c for c in chunks if c.choices and c.choices[0].delta.content]) == 2
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert not drafts(chunks)


def test_a_second_turn_finds_the_first_in_the_cache(client: OpenAI) -> None:
    messages: list[Any] = [user(COUNT), {"role": "assistant", "content": "1 2 3 " * 40}]
    messages.append(user(REVERSE))
    usages = [
        client.chat.completions.create(model=MODEL, messages=messages, seed=7).usage
        for _ in range(2)
    ]
    details = [usage.prompt_tokens_details for usage in usages if usage is not None]
    assert details[1] is not None
    assert details[1].cached_tokens is not None
    assert details[1].cached_tokens > 0


def test_a_tool_is_called_answered_and_called_again(client: OpenAI) -> None:
    """The messages of an answer go back as they came."""
    messages: list[Any] = []
    weather = {"Oslo": {"degrees": -5, "sky": "cloudy"}, "Rome": {"degrees": 21, "sky": "sunny"}}
    for city, result in weather.items():
        messages.append(user(f"weather in {city}"))
        asked: dict[str, Any] = {"model": MODEL, "messages": messages, "tools": [WEATHER]}
        (choice,) = client.chat.completions.create(**asked, seed=7).choices
        assert choice.finish_reason == "tool_calls"
        assert choice.message.content is None
        assert choice.message.tool_calls is not None
        (call,) = choice.message.tool_calls
        assert call.type == "function"
        assert json.loads(call.function.arguments) == {"city": city}
        messages.append(choice.message.model_dump())
        messages.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps(result)})
        (choice,) = client.chat.completions.create(**asked, seed=7).choices
        text = f"It is {result['sky']} in {city}, at {result['degrees']} degrees."
        assert (choice.message.content, choice.finish_reason) == (text, "stop")
        messages.append(choice.message.model_dump())


def test_calls_of_a_stream_are_put_together_by_the_client(client: OpenAI) -> None:
    messages: Any = [user("weather in Oslo")]
    tools: Any = [WEATHER]
    with client.chat.completions.stream(
        model=MODEL, messages=messages, tools=tools, seed=7
    ) as stream:
        (choice,) = stream.get_final_completion().choices
    assert choice.message.tool_calls is not None
    (call,) = choice.message.tool_calls
    assert choice.finish_reason == "tool_calls"
    assert (call.id, call.function.name) == ("call_0", "get_weather")
    assert json.loads(call.function.arguments) == {"city": "Oslo"}


def test_without_leave_no_tool_is_called(client: OpenAI) -> None:
    (choice,) = ask(client, "weather in Oslo", tools=[WEATHER], tool_choice="none").choices
    assert choice.message.tool_calls is None
    assert choice.finish_reason != "tool_calls"


def test_a_schema_is_kept_and_anything_is_an_object_where_one_is_asked_for(client: OpenAI) -> None:
    question = "as person json: ada, age 36"
    schema = {"name": "person", "strict": True, "schema": PERSON}
    form = {"type": "json_schema", "json_schema": schema}
    kept = ask(client, question, response_format=form).choices[0].message.content
    assert json.loads(kept) == {"name": "ada", "age": 36}
    for prompt in (question, COUNT):
        any_object = ask(client, prompt, response_format={"type": "json_object"}, max_tokens=100)
        assert isinstance(json.loads(any_object.choices[0].message.content), dict)


def test_thought_and_answer_come_apart(client: OpenAI) -> None:
    answer = ask(client, SUM, extra_body=THINKING)
    message = answer.choices[0].message
    assert message.content == "967"
    assert "967" not in message.reasoning_content
    assert answer.usage.completion_tokens_details.reasoning_tokens > 0

    chunks = list(ask(client, SUM, extra_body=THINKING, stream=True))
    deltas = [chunk.choices[0].delta for chunk in chunks]
    thought = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
    assert (text_of(chunks), thought) == ("967", message.reasoning_content)


def test_no_effort_of_reasoning_is_no_thought(client: OpenAI) -> None:
    message = ask(client, REVERSE, reasoning_effort="none").choices[0].message
    assert not hasattr(message, "reasoning_content")


def test_log_probabilities_name_their_tokens_by_text_and_bytes(client: OpenAI) -> None:
    choice = ask(client, REVERSE, logprobs=True, top_logprobs=3).choices[0]
    entries = choice.logprobs.content
    assert b"".join(bytes(entry.bytes) for entry in entries) == b"savnac"
    for entry in entries:
        assert len(entry.top_logprobs) == 3
        assert entry.top_logprobs[0].token == entry.token
        assert entry.top_logprobs[0].logprob == pytest.approx(entry.logprob)

    chunks = list(ask(client, REVERSE, logprobs=True, stream=True))
    told = [choice.logprobs for chunk in chunks for choice in chunk.choices if choice.logprobs]
    assert [entry.token for part in told for entry in part.content] == list("savnac")


def test_several_answers_are_those_of_seeds_in_a_row(client: OpenAI) -> None:
    alone = [ask(client, STRANGE, seed=s, **SHORT).choices[0].message.content for s in (5, 6, 7)]
    assert len(set(alone)) > 1
    together = ask(client, STRANGE, seed=5, n=3, **SHORT)
    assert [choice.index for choice in together.choices] == [0, 1, 2]
    assert [choice.message.content for choice in together.choices] == alone
    streamed = ["", "", ""]
    for chunk in ask(client, STRANGE, seed=5, n=3, **SHORT, stream=True):
        for choice in chunk.choices:
            streamed[choice.index] += choice.delta.content or ""
    assert streamed == alone


@pytest.mark.parametrize("stop", ["15", ["zzz", "15"]])
def test_an_answer_ends_before_a_stop_sequence(client: OpenAI, stop: str | list[str]) -> None:
    (choice,) = ask(client, COUNT, stop=stop).choices
    assert choice.message.content.endswith("13 14 ")
    assert choice.finish_reason == "stop"


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_limit_of_tokens_is_exact_by_either_name(client: OpenAI, name: str) -> None:
    answer = ask(client, COUNT, **{name: 10})
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 10


def test_members_that_change_nothing_are_accepted(client: OpenAI) -> None:
    harmless: dict[str, Any] = {
        "user": "u-1",
        "metadata": {"a": "b"},
        "store": False,
        "service_tier": "auto",
        "parallel_tool_calls": False,
        "frequency_penalty": None,
    }
    assert ask(client, REVERSE, **harmless).choices[0].message.content == "savnac"
