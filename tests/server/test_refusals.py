"""Bad requests to a real server: each is refused by field, value and bound."""

from __future__ import annotations

import math

import grpc
import pytest
from calls import REVERSE, asking, details_of, found, generate, stream
from google.rpc import error_details_pb2
from server_process import ServerProcess

from palimpsest.v1 import (
    generation_pb2,
    model_pb2,
    prompt_pb2,
    sampling_pb2,
)


def sampled(**fields: object) -> sampling_pb2.SamplingParameters:
    return sampling_pb2.SamplingParameters(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "field", "message"),
    [
        (asking(prompt_pb2.Prompt()), "input.prompt", "is empty: set text, tokens or chat"),
        (asking(prompt_pb2.Prompt(text="")), "input.prompt.text", "is empty"),
        (asking(""), "input.prompt.chat.messages[0].parts", "is empty"),
        (
            asking(REVERSE, sampled(max_output_tokens=0)),
            "input.sampling.max_output_tokens",
            "0 is outside 1 to 262144",
        ),
        (
            asking(REVERSE, sampled(max_output_tokens=10**9)),
            "input.sampling.max_output_tokens",
            "1000000000 is outside 1 to 262144",
        ),
        (
            asking(REVERSE, sampled(temperature=-1.0)),
            "input.sampling.temperature",
            "-1.0 is outside 0.0 to 100.0",
        ),
        (
            asking(REVERSE, sampled(temperature=math.nan)),
            "input.sampling.temperature",
            "nan is outside 0.0 to 100.0",
        ),
        (
            asking(prompt_pb2.Prompt(tokens=prompt_pb2.TokenPrompt(token_ids=[2, 10**9]))),
            "input.prompt.tokens.token_ids",
            "1000000000 is outside 0 to ",
        ),
    ],
)
def test_a_bad_request_is_refused_by_field_value_and_bound(
    server: ServerProcess, asked: generation_pb2.GenerationInput, field: str, message: str
) -> None:
    for call in (generate, lambda *a: list(stream(*a))):
        with pytest.raises(grpc.RpcError) as caught:
            call(server, asked)
        status = details_of(caught.value)
        assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
        assert status.message.startswith(f"{field}: {message}")
        bad = error_details_pb2.BadRequest()
        assert found(status, bad)
        assert bad.field_violations[0].field == field
        assert bad.field_violations[0].description.startswith(message)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("max_denoising_steps", 0, "0 is outside 1 to 1000"),
        ("effort", 9, "9 is not an effort"),
        ("entropy_bound", -0.5, "-0.5 is outside 0.0 to 1000000.0"),
        ("temperature_max", 0.0, "0.0 is outside 0.001 to 100.0"),
        ("temperature_min", 99.0, "99.0 is above temperature_max 0.8"),
        ("confidence_threshold", -1.0, "-1.0 is outside 0.0 to 100.0"),
        ("stability_threshold", 101, "101 is outside 0 to 100"),
        ("top_p", 0.0, "0.0 is not above 0 and at most 1.0"),
        ("top_p", 1.5, "1.5 is not above 0 and at most 1.0"),
        ("top_k", 0, "0 is below 1"),
        ("min_p", 1.5, "1.5 is outside 0.0 to 1.0"),
        ("banned_token_ids", [3, 512], "512 is outside 0 to 511"),
        ("allowed_token_ids", [512], "512 is outside 0 to 511"),
        ("repetition_penalty", 0.0, "0.0 is not above 0 and at most 10.0"),
        ("presence_penalty", 2.5, "2.5 is outside -2.0 to 2.0"),
        ("frequency_penalty", -2.5, "-2.5 is outside -2.0 to 2.0"),
        ("stop_token_ids", [512], "512 is outside 0 to 511"),
        ("stop_token_ids", list(range(65)), "has 65 ids, more than 64"),
        ("logprobs", 21, "21 is outside 0 to 20"),
    ],
)
def test_every_sampling_field_is_refused_outside_its_bound(
    server: ServerProcess, field: str, value: object, message: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        generate(server, asking(REVERSE, sampled(**{field: value})))
    status = details_of(caught.value)
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert status.message == f"input.sampling.{field}: {message}"


@pytest.mark.parametrize(
    ("bias", "message"),
    [
        ({5: 101.0}, "logit_bias[5]: 101.0 is outside -100.0 to 100.0"),
        ({512: 1.0}, "logit_bias: 512 is outside 0 to 511"),
    ],
)
def test_a_bias_is_refused_outside_its_bound(
    server: ServerProcess, bias: dict[int, float], message: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        generate(server, asking(REVERSE, sampled(logit_bias=bias)))
    assert details_of(caught.value).message == f"input.sampling.{message}"


def test_a_vocabulary_with_nothing_left_in_it_is_refused(server: ServerProcess) -> None:
    nothing = sampled(allowed_token_ids=[5, 6], banned_token_ids=[6, 5])
    with pytest.raises(grpc.RpcError) as caught:
        generate(server, asking(REVERSE, nothing))
    message = "input.sampling.allowed_token_ids: are all among banned_token_ids"
    assert details_of(caught.value).message == message


def test_a_prompt_longer_than_the_context_is_refused_with_both_lengths(
    server: ServerProcess,
) -> None:
    model = server.stub.GetModel(model_pb2.GetModelRequest()).model
    too_long = model.max_context_tokens - model.canvas_length + 1
    tokens = prompt_pb2.TokenPrompt(token_ids=[5] * too_long)
    with pytest.raises(grpc.RpcError) as caught:
        generate(server, asking(prompt_pb2.Prompt(tokens=tokens)))
    status = details_of(caught.value)
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert status.message == (
        f"input.prompt: {too_long} tokens and one canvas of {model.canvas_length} are more than "
        f"the context of {model.max_context_tokens} tokens"
    )


def test_an_unknown_model_is_not_found_and_both_names_are_told(server: ServerProcess) -> None:
    served = server.stub.GetModel(model_pb2.GetModelRequest()).model.name
    with pytest.raises(grpc.RpcError) as caught:
        generate(server, asking(REVERSE, model="gpt-5"))
    status = details_of(caught.value)
    assert status.code == grpc.StatusCode.NOT_FOUND.value[0]
    assert "'gpt-5'" in status.message
    assert f"'{served}'" in status.message


def test_an_unknown_field_in_a_chat_message_is_refused(server: ServerProcess) -> None:
    asked = asking(REVERSE)
    asked.prompt.chat.messages[0].MergeFromString(b"\xf8\x3f\x01")
    with pytest.raises(grpc.RpcError) as caught:
        generate(server, asked)
    status = details_of(caught.value)
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert status.message == (
        "input.prompt.chat.messages[0]: palimpsest.v1.ChatMessage has no field number 1023"
    )


def test_a_field_that_is_not_built_is_unimplemented_and_named(server: ServerProcess) -> None:
    asked = asking(REVERSE)
    asked.prompt.chat.tool_choice.tool_name = "get_weather"
    with pytest.raises(grpc.RpcError) as caught:
        generate(server, asked)
    status = details_of(caught.value)
    assert status.code == grpc.StatusCode.UNIMPLEMENTED.value[0]
    field = "input.prompt.chat.tool_choice.tool_name"
    assert status.message.startswith(f"{field}: not supported by this version")
    info = error_details_pb2.ErrorInfo()
    assert found(status, info)
    assert info.reason == "UNSUPPORTED"
    assert info.metadata["field"] == field
