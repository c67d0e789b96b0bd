"""Requests of the contract: what is parsed, what is refused, and under which name."""

from __future__ import annotations

import math
from typing import Any

import pytest
from google.protobuf.message import Message

from palimpsest.engine.api import InvalidRequest, Sampling, Unsupported
from palimpsest.server import convert, fields
from palimpsest.server.exchange import Preview, PreviewMode, ResumePoint
from palimpsest.server.mailbox import Pace
from palimpsest.server.prompts import ChatMessage, ChatPrompt, TextPrompt, TokenPrompt
from palimpsest.v1 import canvas_pb2, chat_pb2, generation_pb2, model_pb2, prompt_pb2, sampling_pb2

USER = chat_pb2.CHAT_ROLE_USER
UNKNOWN_FIELD = b"\xf8\x3f\x01"
"""Field number 1023, a varint: what a newer client might send."""


def streamed(
    *, prompt: prompt_pb2.Prompt | None = None, preview: canvas_pb2.PreviewOptions | None = None
) -> generation_pb2.StreamGenerateRequest:
    request = generation_pb2.StreamGenerateRequest(preview=preview)
    request.input.prompt.CopyFrom(prompt or prompt_pb2.Prompt(text="hello"))
    return request


def chat(*messages: chat_pb2.ChatMessage) -> prompt_pb2.Prompt:
    return prompt_pb2.Prompt(chat=chat_pb2.ChatPrompt(messages=messages))


def message(text: str, role: chat_pb2.ChatRole.ValueType = USER) -> chat_pb2.ChatMessage:
    return chat_pb2.ChatMessage(role=role, parts=[chat_pb2.ContentPart(text=text)])


def test_a_text_prompt_is_taken_as_it_is() -> None:
    assert convert.stream_generation(streamed()).prompt == TextPrompt(text="hello")


def test_a_token_prompt_is_taken_as_it_is() -> None:
    prompt = prompt_pb2.Prompt(tokens=prompt_pb2.TokenPrompt(token_ids=[3, 1, 2]))
    assert convert.stream_generation(streamed(prompt=prompt)).prompt == TokenPrompt(
        token_ids=(3, 1, 2)
    )


def test_the_text_parts_of_a_message_are_joined() -> None:
    parts = [chat_pb2.ContentPart(text="re"), chat_pb2.ContentPart(text="verse")]
    prompt = chat(
        message("Be brief.", chat_pb2.CHAT_ROLE_SYSTEM),
        chat_pb2.ChatMessage(role=USER, parts=parts),
    )
    assert convert.stream_generation(streamed(prompt=prompt)).prompt == ChatPrompt(
        messages=(
            ChatMessage(role="system", content="Be brief."),
            ChatMessage(role="user", content="reverse"),
        )
    )


def test_only_the_sampling_fields_that_are_set_are_passed_on() -> None:
    request = streamed()
    request.input.sampling.seed = 0
    request.input.sampling.temperature = 0.5
    assert convert.stream_generation(request).sampling == {"seed": 0, "temperature": 0.5}


def test_every_sampling_field_that_is_acted_on_exists_in_the_engine_or_stands_for_some() -> None:
    assert fields.SAMPLING - set(Sampling.__dataclass_fields__) == {"effort"}
    assert set(Sampling.__dataclass_fields__) <= fields.SAMPLING


@pytest.mark.parametrize("effort", ["LOW", "MEDIUM", "HIGH"])
def test_an_effort_sets_what_is_not_set_beside_it(effort: str) -> None:
    request = streamed()
    request.input.sampling.effort = sampling_pb2.Effort.Value(f"EFFORT_{effort}")
    preset = convert.stream_generation(request).sampling
    assert set(preset) == {"max_denoising_steps", "entropy_bound", "confidence_threshold"}
    request.input.sampling.entropy_bound = 0.7
    assert convert.stream_generation(request).sampling == {**preset, "entropy_bound": 0.7}


def test_an_unknown_effort_is_refused() -> None:
    request = streamed()
    request.input.sampling.effort = 9  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(InvalidRequest, match=r"input\.sampling\.effort: 9 is not an effort"):
        convert.stream_generation(request)


def test_stop_sequences_and_candidates_are_passed_on_beside_the_sampling() -> None:
    request = streamed()
    wanted = convert.stream_generation(request)
    assert (wanted.stop_sequences, wanted.candidate_count) == ((), 1)
    request.input.sampling.stop_sequences.extend(["b", "a"])
    request.input.sampling.candidate_count = 3
    wanted = convert.stream_generation(request)
    assert (wanted.stop_sequences, wanted.candidate_count) == (("b", "a"), 3)
    assert wanted.sampling == {}


def test_an_answer_is_taken_up_where_the_request_says() -> None:
    request = streamed()
    assert convert.stream_generation(request).resume is None
    request.resume.first_canvas_index = 0
    assert convert.stream_generation(request).resume is None
    request.resume.committed_token_ids.extend([3, 1])
    assert convert.stream_generation(request).resume == ResumePoint(
        first_canvas_index=0, committed_token_ids=(3, 1)
    )


def test_previews_are_off_unless_asked_for() -> None:
    assert convert.stream_generation(streamed()).preview is None


def test_previews_come_thirty_times_a_second_unless_said_otherwise() -> None:
    options = canvas_pb2.PreviewOptions(
        mode=canvas_pb2.PREVIEW_MODE_TOKENS, include_confidence=True
    )
    assert convert.stream_generation(streamed(preview=options)).preview == Preview(
        mode=PreviewMode.TOKENS,
        pace=Pace(every_n_steps=1, max_rate_hz=30.0),
        confidence=True,
    )


@pytest.mark.parametrize("rate_hz", [0.0, -1.0, 1000.1, math.nan, math.inf])
def test_a_preview_rate_out_of_bounds_is_refused(rate_hz: float) -> None:
    options = canvas_pb2.PreviewOptions(mode=canvas_pb2.PREVIEW_MODE_TEXT, max_rate_hz=rate_hz)
    with pytest.raises(InvalidRequest, match=r"preview\.max_rate_hz: .* is not above 0"):
        convert.stream_generation(streamed(preview=options))


@pytest.mark.parametrize(
    ("prompt", "complaint"),
    [
        (prompt_pb2.Prompt(), "input.prompt: is empty: set text, tokens or chat"),
        (prompt_pb2.Prompt(text=""), "input.prompt.text: is empty"),
        (
            prompt_pb2.Prompt(tokens=prompt_pb2.TokenPrompt()),
            "input.prompt.tokens.token_ids: is empty",
        ),
        (chat(), "input.prompt.chat.messages: is empty"),
        (chat(message("")), "input.prompt.chat.messages[0].parts: is empty"),
        (
            chat(chat_pb2.ChatMessage(role=USER, parts=[chat_pb2.ContentPart()])),
            "input.prompt.chat.messages[0].parts[0]: is empty: set text, image or video",
        ),
        (
            chat(message("a"), message("b", chat_pb2.CHAT_ROLE_UNSPECIFIED)),
            "input.prompt.chat.messages[1].role: 0 is not a role that a message may have",
        ),
        (
            chat(message("a"), message("b", chat_pb2.CHAT_ROLE_SYSTEM)),
            "input.prompt.chat.messages[1].role: SYSTEM only comes first",
        ),
    ],
)
def test_an_empty_or_misplaced_part_of_a_prompt_is_refused_by_its_path(
    prompt: prompt_pb2.Prompt, complaint: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        convert.stream_generation(streamed(prompt=prompt))
    assert str(caught.value) == complaint


@pytest.mark.parametrize("name", ["request_id", "share"])
@pytest.mark.parametrize("text", ["x" * 129, "two\nlines", "é" * 65])
def test_a_name_that_cannot_stand_in_a_log_line_is_refused(name: str, text: str) -> None:
    request = streamed()
    setattr(request.input, name, text)
    with pytest.raises(InvalidRequest, match=rf"input\.{name}: is not 128 bytes or less"):
        convert.stream_generation(request)


@pytest.mark.parametrize(
    ("name", "priority"), [("UNSPECIFIED", 0), ("LOW", -1), ("NORMAL", 0), ("HIGH", 1)]
)
def test_share_and_priority_are_taken(name: str, priority: int) -> None:
    request = streamed()
    request.input.share = "team"
    request.input.priority = generation_pb2.Priority.Value(f"PRIORITY_{name}")
    wanted = convert.stream_generation(request)
    assert (wanted.share, wanted.priority) == ("team", priority)


def test_a_priority_that_there_is_not_is_refused() -> None:
    request = streamed()
    request.input.priority = 9  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(InvalidRequest, match=r"input\.priority: 9 is not a priority"):
        convert.stream_generation(request)


def test_a_flag_of_another_preview_mode_is_refused() -> None:
    options = canvas_pb2.PreviewOptions(mode=canvas_pb2.PREVIEW_MODE_TEXT, include_confidence=True)
    with pytest.raises(InvalidRequest, match=r"preview\.include_confidence: needs"):
        convert.stream_generation(streamed(preview=options))


def test_a_preview_mode_of_a_newer_contract_is_refused() -> None:
    options = canvas_pb2.PreviewOptions(mode=77)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match=r"preview\.mode: 77 is not a mode"):
        convert.stream_generation(streamed(preview=options))


def test_a_field_that_a_chat_message_does_not_have_is_refused_by_its_number() -> None:
    request = streamed(prompt=chat(message("a"), message("b")))
    request.input.prompt.chat.messages[1].MergeFromString(UNKNOWN_FIELD)
    with pytest.raises(InvalidRequest) as caught:
        convert.stream_generation(request)
    assert str(caught.value) == (
        "input.prompt.chat.messages[1]: palimpsest.v1.ChatMessage has no field number 1023"
    )


def test_an_unknown_field_at_the_root_is_refused_too() -> None:
    request = model_pb2.CountTokensRequest()
    request.MergeFromString(UNKNOWN_FIELD)
    with pytest.raises(
        InvalidRequest, match=r"palimpsest\.v1\.CountTokensRequest has no field number 1023"
    ):
        convert.count_prompt(request)


def test_a_message_of_a_part_that_is_not_built_is_named_down_to_its_field() -> None:
    request = streamed(prompt=chat(message("a")))
    request.input.prompt.chat.tool_choice.tool_name = "f"
    with pytest.raises(Unsupported) as caught:
        convert.stream_generation(request)
    assert caught.value.field == "input.prompt.chat.tool_choice.tool_name"


def test_a_response_format_of_no_kind_is_refused() -> None:
    request = streamed()
    request.input.sampling.response_format.SetInParent()
    with pytest.raises(InvalidRequest, match=r"response_format: is empty"):
        convert.stream_generation(request)


@pytest.mark.parametrize(
    ("prepare", "field"),
    [
        (
            lambda r: setattr(r.input.prompt.chat.tool_choice, "tool_name", "f"),
            "input.prompt.chat.tool_choice.tool_name",
        ),
    ],
)
def test_what_is_in_the_contract_and_not_built_is_refused_by_name(
    prepare: object, field: str
) -> None:
    request = streamed()
    assert callable(prepare)
    prepare(request)
    with pytest.raises(Unsupported) as caught:
        convert.stream_generation(request)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (fields.STREAM_GENERATE, generation_pb2.StreamGenerateRequest()),
        (fields.GENERATE, generation_pb2.GenerateRequest()),
        (fields.COUNT_TOKENS, model_pb2.CountTokensRequest()),
        (fields.GET_MODEL, model_pb2.GetModelRequest()),
        (fields.LIST_MODELS, model_pb2.ListModelsRequest()),
    ],
)
def test_the_tables_name_fields_that_exist(table: frozenset[str], message: Message) -> None:
    for path in table:
        descriptor: Any = message.DESCRIPTOR
        for name in path.split("."):
            assert descriptor is not None, path
            assert name in descriptor.fields_by_name, path
            descriptor = descriptor.fields_by_name[name].message_type
        # messages of others, such as Struct, and maps are taken as they are
        if descriptor is not None and descriptor.full_name.startswith("palimpsest."):
            assert descriptor.GetOptions().map_entry, path


def test_all_sampling_parameters_are_either_acted_on_or_refused() -> None:
    for field in sampling_pb2.SamplingParameters.DESCRIPTOR.fields:
        request = streamed()
        parameters = request.input.sampling
        if field.name == "response_format":
            parameters.response_format.regex = "a+"
        elif field.name == "logit_bias":
            parameters.logit_bias[1] = 1.0
        elif field.is_repeated:
            value = "x" if field.cpp_type == field.CPPTYPE_STRING else 1
            getattr(parameters, field.name).append(value)
        else:
            setattr(parameters, field.name, 1)
        if field.name in fields.SAMPLING:
            assert convert.stream_generation(request).sampling
        elif field.name in fields.ANSWERING:
            assert convert.stream_generation(request).sampling == {}
        else:
            with pytest.raises(Unsupported, match=rf"^input\.sampling\.{field.name}: "):
                convert.stream_generation(request)
