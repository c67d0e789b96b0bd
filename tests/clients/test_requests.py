"""Arguments become the contract's messages, one to one, or are refused by the field's name."""

from __future__ import annotations

import json

import pytest

from palimpsest.connection import Connection
from palimpsest.errors import InvalidRequest
from palimpsest.requests import (
    ALL_DRAFTS,
    NO_DRAFTS,
    Preview,
    PromptSource,
    Sampling,
    generate_request,
    stream_request,
)
from palimpsest.v1 import canvas_pb2, chat_pb2, generation_pb2, sampling_pb2

HELLO = PromptSource(prompt="hello")
ABOUT = Connection(address="nowhere:1").about


def test_the_sampling_arguments_are_the_contract_s_fields() -> None:
    fields = sampling_pb2.SamplingParameters.DESCRIPTOR.fields_by_name
    assert set(Sampling.__annotations__) == set(fields)


def test_every_request_says_whose_share_it_is_charged_to_and_how_urgent_it_is() -> None:
    about = Connection(address="nowhere:1", model="m", share="team", priority="high").about
    asked = generate_request(HELLO, about, {}).input
    assert (asked.model, asked.share) == ("m", "team")
    assert asked.priority == generation_pb2.PRIORITY_HIGH
    assert asked.prompt.chat.messages


def test_a_priority_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="priority: 'urgent' is none of low, normal, high"):
        Connection(address="nowhere:1", priority="urgent")  # pyright: ignore[reportArgumentType]


def test_none_leaves_a_field_unset() -> None:
    request = generate_request(HELLO, ABOUT, {"seed": None, "temperature": 0.0})
    assert [field.name for field, _ in request.input.sampling.ListFields()] == ["temperature"]


def test_fields_of_every_kind_reach_the_message() -> None:
    sampling: Sampling = {
        "seed": 2**64 - 1,
        "effort": "high",
        "logit_bias": {3: -1.5},
        "stop_sequences": ["\n\n"],
        "response_format": {"choices": ["yes", "no"]},
    }
    parameters = generate_request(HELLO, ABOUT, sampling).input.sampling
    assert parameters.seed == 2**64 - 1
    assert parameters.effort == sampling_pb2.EFFORT_HIGH
    assert dict(parameters.logit_bias) == {3: -1.5}
    assert list(parameters.stop_sequences) == ["\n\n"]
    assert list(parameters.response_format.choices.texts) == ["yes", "no"]


def test_a_schema_keeps_the_order_of_its_properties() -> None:
    schema = {"type": "object", "properties": {"z": {"type": "null"}, "a": {"type": "null"}}}
    parameters = generate_request(
        HELLO, ABOUT, {"response_format": {"json_schema": schema}}
    ).input.sampling
    assert list(json.loads(parameters.response_format.json_schema)["properties"]) == ["z", "a"]


@pytest.mark.parametrize(
    ("sampling", "field"),
    [
        ({"max_output_tokens": -1}, "input.sampling.max_output_tokens"),
        ({"seed": 2**64}, "input.sampling.seed"),
        ({"seed": "seven"}, "input.sampling.seed"),
        ({"effort": "heroic"}, "input.sampling.effort"),
        ({"response_format": {"yaml": "a: 1"}}, "input.sampling.response_format"),
    ],
)
def test_a_value_that_the_wire_cannot_carry_is_refused_by_name(
    sampling: Sampling, field: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        generate_request(HELLO, ABOUT, sampling)
    assert [violation.field for violation in caught.value.violations] == [field]


def test_an_unknown_argument_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="temprature"):
        generate_request(HELLO, ABOUT, {"temprature": 1.0})  # pyright: ignore[reportArgumentType]


def test_a_prompt_is_one_message_of_the_user() -> None:
    chat = generate_request(HELLO, ABOUT, {}).input.prompt.chat
    assert [(message.role, message.parts[0].text) for message in chat.messages] == [
        (chat_pb2.CHAT_ROLE_USER, "hello")
    ]


def test_raw_text_goes_without_the_chat_template() -> None:
    prompt = generate_request(PromptSource(raw_text="<bos>hello"), ABOUT, {}).input.prompt
    assert prompt.text == "<bos>hello"


@pytest.mark.parametrize(
    "source",
    [PromptSource(), PromptSource(prompt="a", raw_text="b"), PromptSource(prompt="a", messages=[])],
)
def test_anything_but_one_kind_of_prompt_is_refused(source: PromptSource) -> None:
    with pytest.raises(InvalidRequest, match=r"input\.prompt"):
        generate_request(source, ABOUT, {})


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        ({"role": "user", "content": "hi", "name": "x"}, r"messages\[0\]\.name: unknown field"),
        ({"role": "wizard", "content": "hi"}, r"messages\[0\]\.role: 'wizard'"),
        ({"content": "hi"}, r"messages\[0\]\.role"),
        ({"role": "user"}, r"messages\[0\]\.content"),
    ],
)
def test_a_message_that_is_not_understood_is_refused(
    message: dict[str, str], complaint: str
) -> None:
    with pytest.raises(InvalidRequest, match=complaint):
        generate_request(PromptSource(messages=[message]), ABOUT, {})


def test_all_drafts_ask_for_what_drawing_takes() -> None:
    preview = stream_request(HELLO, ABOUT, {}, ALL_DRAFTS).preview
    assert preview.mode == canvas_pb2.PREVIEW_MODE_TOKENS
    assert preview.include_confidence
    assert preview.include_accepted_mask
    assert preview.include_token_texts
    assert not preview.HasField("max_rate_hz")


@pytest.mark.parametrize("preview", [NO_DRAFTS, Preview(mode="metadata"), Preview(mode="text")])
def test_token_fields_are_asked_for_in_token_mode_only(preview: Preview) -> None:
    options = stream_request(HELLO, ABOUT, {}, preview).preview
    assert not options.include_confidence
    assert not options.include_token_texts


@pytest.mark.parametrize("preview", [Preview(every_n_steps=-1), Preview(mode="loud")])  # pyright: ignore[reportArgumentType]
def test_a_preview_that_the_wire_cannot_carry_is_refused(preview: Preview) -> None:
    with pytest.raises(InvalidRequest, match="preview"):
        stream_request(HELLO, ABOUT, {}, preview)
