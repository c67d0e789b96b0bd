"""Prompts to token ids: which variables the chat template gets, and what it would leave out."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from palimpsest.engine.api import InvalidRequest, ModelInfo, Sampling, TextCodec, checkpoint_folder
from palimpsest.engine.capacity import Capacity
from palimpsest.server.prompting import encode
from palimpsest.server.prompts import (
    ChatMessage,
    ChatPrompt,
    Json,
    TextPrompt,
    TokenPrompt,
    Tool,
    ToolCall,
)

MODEL = ModelInfo(
    name="palimpsest-tiny",
    canvas_length=64,
    max_context_tokens=4096,
    vocabulary_size=512,
    end_token_ids=(1, 106, 50),
    parameter_count=1,
    sees=False,
    device="cpu",
    dtype="float32",
    defaults=Sampling(max_output_tokens=64, seed=0),
    capacity=Capacity(pages={None: 64}, cache_bytes=0),
)
HI = ChatMessage(role="user", content="Hi")
THINK = 98
BARE = "{{ bos_token }}{% for message in messages %}{{ message['content'] }}{% endfor %}"


@pytest.fixture(scope="module")
def codec() -> TextCodec:
    return TextCodec(checkpoint_folder("bundled"))


@pytest.fixture
def bare(tmp_path: Path) -> TextCodec:
    """Of a checkpoint whose template knows messages alone."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(checkpoint_folder("bundled") / name, tmp_path)
    (tmp_path / "chat_template.jinja").write_text(BARE)
    return TextCodec(tmp_path)


def shown(codec: TextCodec, prompt: ChatPrompt, defaults: Json | None = None) -> str:
    return codec.decode_verbatim(encode(prompt, codec, MODEL, template_defaults=defaults or {}))


@pytest.mark.parametrize(
    ("default", "asked", "thinks"),
    [
        (None, None, False),
        (None, True, True),
        (True, None, True),
        (True, False, False),
        (False, True, True),
    ],
)
def test_a_request_decides_whether_to_think_and_the_server_if_it_does_not(
    codec: TextCodec, default: bool | None, asked: bool | None, thinks: bool
) -> None:
    defaults = {} if default is None else {"enable_thinking": default}
    prompt = ChatPrompt(messages=(HI,), enable_thinking=asked)
    assert (THINK in encode(prompt, codec, MODEL, template_defaults=defaults)) is thinks


def test_template_variables_of_a_request_win_over_those_of_the_server(codec: TextCodec) -> None:
    call = ToolCall(id="a", name="f", arguments={})
    messages = (
        HI,
        ChatMessage(role="assistant", content="", thought="hm", tool_calls=(call,)),
        ChatMessage(role="tool", content="1", answers=call),
        HI,
    )
    defaults = {"preserve_thinking": True}
    assert "hm" in shown(codec, ChatPrompt(messages=messages), defaults)
    kwargs = {"preserve_thinking": False}
    assert "hm" not in shown(codec, ChatPrompt(messages=messages, template_kwargs=kwargs), defaults)


def test_calls_results_and_tools_reach_the_template(codec: TextCodec) -> None:
    call = ToolCall(id="x", name="add", arguments={"a": 2, "b": 3})
    tool = Tool(name="add", description="Adds.", parameters={"type": "object"})
    messages = (
        HI,
        ChatMessage(role="assistant", content="", tool_calls=(call,)),
        ChatMessage(role="tool", content={"sum": 5}, answers=call),
    )
    text = shown(codec, ChatPrompt(messages=messages, tools=(tool,), enable_thinking=True))
    assert text == (
        '<bos><|turn>system\n<|think|>\n<|tool>declaration:add{description:<|"|>Adds.<|"|>,'
        'parameters:{type:<|"|>OBJECT<|"|>}}<tool|><turn|>\n<|turn>user\nHi<turn|>\n<|turn>model\n'
        "<|tool_call>call:add{a:2,b:3}<tool_call|><|tool_response>response:add{sum:5}"
        "<tool_response|><|channel>thought\n"
    )


@pytest.mark.parametrize(
    ("prompt", "field"),
    [
        (ChatPrompt(messages=(HI,), tools=(Tool(name="f"),)), "tools"),
        (ChatPrompt(messages=(HI,), enable_thinking=True), "enable_thinking"),
        (ChatPrompt(messages=(HI,), template_kwargs={"style": 1}), "template_kwargs.style"),
    ],
)
def test_what_a_template_would_leave_out_is_refused(
    bare: TextCodec, prompt: ChatPrompt, field: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        encode(prompt, bare, MODEL, template_defaults={})
    assert caught.value.field == f"prompt.chat.{field}"
    assert caught.value.reason.startswith("the checkpoint's chat template has no variable ")


def test_what_the_server_sets_by_default_may_be_unknown_to_a_template(bare: TextCodec) -> None:
    defaults = {"enable_thinking": True, "style": 1}
    prompt = ChatPrompt(messages=(HI,), enable_thinking=False)
    assert shown(bare, prompt, defaults) == "<bos>Hi"


def test_without_a_template_that_is_the_complaint(tmp_path: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(checkpoint_folder("bundled") / name, tmp_path)
    prompt = ChatPrompt(messages=(HI,), tools=(Tool(name="f"),))
    with pytest.raises(InvalidRequest, match="the checkpoint has no chat template"):
        encode(prompt, TextCodec(tmp_path), MODEL, template_defaults={})


def test_text_and_token_prompts_are_used_as_they_are(codec: TextCodec) -> None:
    ids = encode(TextPrompt(text="<bos>Hi"), codec, MODEL, template_defaults={})
    assert ids == tuple(codec.encode("<bos>Hi"))
    assert encode(TokenPrompt(token_ids=ids), codec, MODEL, template_defaults={}) == ids


def test_a_token_outside_the_vocabulary_is_refused(codec: TextCodec) -> None:
    with pytest.raises(InvalidRequest, match=r"prompt\.tokens\.token_ids: 512 is outside 0 to 511"):
        encode(TokenPrompt(token_ids=(2, 512)), codec, MODEL, template_defaults={})
