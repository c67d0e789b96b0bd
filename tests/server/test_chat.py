"""Chat over the wire: thinking, tools and history reach the prompt, and answers come apart.

What the model writes is its own business: these tests hold for any model.
"""

from __future__ import annotations

import json
from typing import Any

import grpc
import pytest
from calls import asking, details_of, generate, stream
from google.protobuf.struct_pb2 import Struct
from google.rpc import error_details_pb2
from server_process import ServerProcess, Start

from palimpsest.engine.api import TextCodec, checkpoint_folder
from palimpsest.server.parsing import OutputParser
from palimpsest.v1 import canvas_pb2, chat_pb2, model_pb2, prompt_pb2, sampling_pb2

HI = chat_pb2.ChatMessage(
    role=chat_pb2.CHAT_ROLE_USER, parts=[chat_pb2.ContentPart(text="What is 2 + 3?")]
)
SHORT = sampling_pb2.SamplingParameters(seed=7, max_output_tokens=96)
OPEN_THOUGHT = "<bos><|turn>user\ncount from 1 to 40<turn|>\n<|turn>model\n<|channel>thought\n"


def struct(members: dict[str, Any]) -> Struct:
    message = Struct()
    message.update(members)
    return message


def tool(name: str = "add") -> chat_pb2.Tool:
    numbers = {"a": {"type": "number"}, "b": {"type": "number"}}
    schema = struct({"type": "object", "properties": numbers})
    return chat_pb2.Tool(name=name, description="Adds.", parameters=schema)


def history() -> list[chat_pb2.ChatMessage]:
    call = chat_pb2.ToolCall(id="call_0", name="add", arguments=struct({"a": 2, "b": 3}))
    result = chat_pb2.ToolResult(tool_call_id="call_0", response=struct({"sum": 5}))
    return [
        HI,
        chat_pb2.ChatMessage(
            role=chat_pb2.CHAT_ROLE_ASSISTANT, thought="I add.", tool_calls=[call]
        ),
        chat_pb2.ChatMessage(role=chat_pb2.CHAT_ROLE_TOOL, tool_result=result),
    ]


def count(server: ServerProcess, chat: chat_pb2.ChatPrompt) -> int:
    request = model_pb2.CountTokensRequest(prompt=prompt_pb2.Prompt(chat=chat))
    return server.stub.CountTokens(request).token_count


@pytest.fixture(scope="module")
def codec() -> TextCodec:
    return TextCodec(checkpoint_folder("bundled"))


def test_thinking_tools_and_history_are_in_the_prompt(
    server: ServerProcess, codec: TextCodec
) -> None:
    chat = chat_pb2.ChatPrompt(messages=history(), tools=[tool()], enable_thinking=True)
    numbers = 'a:{type:<|"|>NUMBER<|"|>},b:{type:<|"|>NUMBER<|"|>}'
    written = (
        '<bos><|turn>system\n<|think|>\n<|tool>declaration:add{description:<|"|>Adds.<|"|>,'
        f'parameters:{{properties:{{{numbers}}},type:<|"|>OBJECT<|"|>}}}}<tool|><turn|>\n'
        "<|turn>user\nWhat is 2 + 3?<turn|>\n<|turn>model\n<|channel>thought\nI add.\n<channel|>"
        "<|tool_call>call:add{a:2,b:3}<tool_call|><|tool_response>response:add{sum:5}"
        "<tool_response|><|channel>thought\n"
    )
    assert count(server, chat) == len(codec.encode(written))


def test_what_is_counted_is_what_is_generated_from(server: ServerProcess) -> None:
    chat = chat_pb2.ChatPrompt(messages=history(), tools=[tool()], enable_thinking=True)
    asked = asking(prompt_pb2.Prompt(chat=chat), SHORT)
    assert generate(server, asked).usage.prompt_tokens == count(server, chat)


@pytest.mark.parametrize("enable_thinking", [None, True, False])
def test_the_operator_decides_whether_to_think_where_requests_do_not(
    start: Start, server: ServerProcess, enable_thinking: bool | None
) -> None:
    flags = ("--default-chat-template-kwargs", json.dumps({"enable_thinking": True}))
    chat = chat_pb2.ChatPrompt(messages=[HI], enable_thinking=enable_thinking)
    thinking = chat_pb2.ChatPrompt(messages=[HI], enable_thinking=enable_thinking is not False)
    assert count(start(*flags), chat) == count(server, thinking)


def test_an_answer_in_a_thought_that_the_prompt_opened_is_thought(
    server: ServerProcess, codec: TextCodec
) -> None:
    answer = generate(server, asking(prompt_pb2.Prompt(text=OPEN_THOUGHT), SHORT))
    parser = OutputParser(codec, codec.encode(OPEN_THOUGHT))
    pieces = parser.push(list(answer.token_ids), final=True)
    assert (answer.thought, answer.text) == (pieces.thought, pieces.text)
    assert answer.thought
    assert answer.usage.thinking_tokens == parser.thinking_tokens > 0


def test_thought_and_text_of_a_stream_are_those_of_the_whole_answer(
    server: ServerProcess,
) -> None:
    asked = asking(prompt_pb2.Prompt(text=OPEN_THOUGHT), SHORT)
    preview = canvas_pb2.PreviewOptions(mode=canvas_pb2.PREVIEW_MODE_TEXT, max_rate_hz=1_000)
    events = list(stream(server, asked, preview))
    commits = [event.commit for event in events if event.HasField("commit")]
    whole = generate(server, asked)
    assert "".join(commit.thought_delta for commit in commits) == whole.thought
    assert "".join(commit.text_delta for commit in commits) == whole.text
    assert any(event.snapshot.thought for event in events)


def test_positions_of_a_draft_that_are_thought_are_named(server: ServerProcess) -> None:
    asked = asking(prompt_pb2.Prompt(text=OPEN_THOUGHT), SHORT)
    preview = canvas_pb2.PreviewOptions(mode=canvas_pb2.PREVIEW_MODE_TOKENS, max_rate_hz=1_000)
    snapshots = [e.snapshot for e in stream(server, asked, preview) if e.HasField("snapshot")]
    first = [snapshot for snapshot in snapshots if snapshot.canvas_index == 0]
    # a draft may begin with the end of the thought, but not all of them do
    assert any(
        span.kind == canvas_pb2.CONTENT_KIND_THOUGHT and span.start == 0 and span.length > 1
        for snapshot in first
        for span in snapshot.spans
    )


@pytest.mark.parametrize(
    ("chat", "message"),
    [
        (
            chat_pb2.ChatPrompt(messages=[HI], tools=[tool(), tool()]),
            "input.prompt.chat.tools[1].name: 'add' is declared twice",
        ),
        (
            chat_pb2.ChatPrompt(messages=history()[:2]),
            "input.prompt.chat.messages[1].tool_calls[0]: the call 'call_0' of 'add' has no result",
        ),
        (
            chat_pb2.ChatPrompt(messages=[HI], template_kwargs=struct({"chat_template": "x"})),
            "input.prompt.chat.template_kwargs.chat_template: is set elsewhere",
        ),
        (
            chat_pb2.ChatPrompt(messages=[HI], template_kwargs=struct({"style": "x"})),
            "input.prompt.chat.template_kwargs.style: the checkpoint's chat template has no",
        ),
    ],
)
def test_a_bad_conversation_is_refused_by_its_path(
    server: ServerProcess, chat: chat_pb2.ChatPrompt, message: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        generate(server, asking(prompt_pb2.Prompt(chat=chat)))
    status = details_of(caught.value)
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert status.message.startswith(message)


@pytest.mark.parametrize(
    ("chat", "field"),
    [
        (
            chat_pb2.ChatPrompt(
                messages=[HI],
                tools=[tool()],
                tool_choice=chat_pb2.ToolChoice(mode=chat_pb2.TOOL_CHOICE_MODE_REQUIRED),
            ),
            "input.prompt.chat.tool_choice.mode=TOOL_CHOICE_MODE_REQUIRED",
        ),
        (
            chat_pb2.ChatPrompt(
                messages=[HI],
                tools=[tool()],
                tool_choice=chat_pb2.ToolChoice(tool_name="add"),
            ),
            "input.prompt.chat.tool_choice.tool_name",
        ),
        (
            chat_pb2.ChatPrompt(
                messages=[HI],
                tools=[tool()],
                tool_choice=chat_pb2.ToolChoice(mode=chat_pb2.TOOL_CHOICE_MODE_NONE),
            ),
            "input.prompt.chat.tool_choice.mode=TOOL_CHOICE_MODE_NONE",
        ),
    ],
)
def test_a_tool_choice_that_cannot_be_kept_is_unimplemented_and_named(
    server: ServerProcess, chat: chat_pb2.ChatPrompt, field: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        generate(server, asking(prompt_pb2.Prompt(chat=chat)))
    status = details_of(caught.value)
    assert status.code == grpc.StatusCode.UNIMPLEMENTED.value[0]
    violation = error_details_pb2.BadRequest()
    assert any(detail.Unpack(violation) for detail in status.details)
    assert [v.field for v in violation.field_violations] == [field]
