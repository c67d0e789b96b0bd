"""What is trained on is what is served."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest

from palimpsest.engine.text import TextCodec
from palimpsest.engine.training.batches import ExampleSource
from palimpsest.engine.training.items import Call, Item, user
from palimpsest.engine.training.rendering import Renderer, completion, format_call
from palimpsest.engine.training.skills import SKILLS


@pytest.fixture(scope="module")
def source() -> ExampleSource:
    return ExampleSource()


@pytest.fixture(scope="module")
def codec(bundled_folder: Path) -> TextCodec:
    return TextCodec(bundled_folder)


@pytest.mark.parametrize("skill", SKILLS)
def test_training_prompts_are_those_of_the_served_chat_template(
    source: ExampleSource, codec: TextCodec, skill: str
) -> None:
    random = Random(4)
    for item in (SKILLS[skill](random) for _ in range(10)):
        served = codec.encode_chat(item.messages, tools=item.tools, enable_thinking=item.thinking)
        assert source.encode(source.renderer.prompt(item)) == served


def test_a_call_is_written_as_the_template_writes_it_into_a_history() -> None:
    arguments = {"to": "Ada", "text": "hi", "Copies": 2, "urgent": False, "more": {"b": 1, "a": 2}}
    function = {"name": "send", "arguments": arguments}
    past = {"role": "assistant", "content": "", "tool_calls": [{"function": function}]}
    result = {"role": "tool", "name": "send", "content": {"sent": True}}
    history = Item(messages=(user("write"), past, result), canonical="")

    assert format_call(Call(name="send", arguments=arguments)) in Renderer().prompt(history)


def test_a_thought_stands_in_its_channel_before_the_answer() -> None:
    item = Item(messages=(), canonical="", answer="7", thought="3+4=7", thinking=True)

    assert completion(item) == "<|channel>thought\n3+4=7\n<channel|>7<turn|>"


def test_with_nothing_to_think_about_the_thought_is_empty() -> None:
    item = Item(messages=(), canonical="", answer="cba", thinking=True)

    assert completion(item) == "<|channel>thought\n<channel|>cba<turn|>"


def test_a_call_ends_where_its_result_would_begin() -> None:
    item = Item(messages=(), canonical="", call=Call(name="f", arguments={"n": 2}))

    assert completion(item) == "<|tool_call>call:f{n:2}<tool_call|><|tool_response>"


def test_every_marker_of_a_completion_is_one_token(source: ExampleSource) -> None:
    markers = ["<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>", "<|tool_response>"]

    assert all(len(source.encode(marker)) == 1 for marker in [*markers, "<turn|>", '<|"|>'])


def test_a_json_answer_comes_back_from_its_tokens(source: ExampleSource, codec: TextCodec) -> None:
    item = SKILLS["json"](Random(0))
    ids = source.encode(completion(item))

    assert json.loads(codec.decode(ids[:-1])) == json.loads(item.answer)
