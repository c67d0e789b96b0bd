"""What OpenAI's API refuses: by the name that was sent, and in the shape its clients read."""

from __future__ import annotations

import json
from typing import Any

import httpx
import openai
import pytest
from calls import REVERSE
from openai import OpenAI
from openai_calls import MODEL, WEATHER, ask, user
from server_process import ServerProcess

CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
ASSISTANT = {"role": "assistant", "tool_calls": [CALL]}
IMAGE = {
    "type": "image_url",
    "image_url": {"url": "data:image/png;base64,AA==", "detail": "huge"},
}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"enum": ["a"]}}}

FORM = (
    b'{"messages":[{"role":"user","content":"a"}],'
    b'"response_format":{"type":"json_schema","json_schema":{"schema":%b}}}'
)


def body(**members: object) -> dict[str, Any]:
    return {"model": MODEL, "messages": [user(REVERSE)], "max_tokens": 8, **members}


def saying(*messages: object) -> dict[str, Any]:
    return body(messages=list(messages))


def nested(levels: int) -> dict[str, Any]:
    parameters: dict[str, Any] = {}
    for _ in range(levels):
        parameters = {"a": parameters}
    return {"type": "function", "function": {"name": "f", "parameters": parameters}}


def post(server: ServerProcess, path: str, content: bytes) -> httpx.Response:
    return httpx.post(f"{server.url}{path}", content=content, timeout=60.0)


def refused(
    server: ServerProcess, sent: dict[str, Any], path: str = "/v1/chat/completions"
) -> dict[str, Any]:
    response = post(server, path, json.dumps(sent).encode())
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["type"] == "invalid_request_error"
    return error


@pytest.mark.parametrize(
    ("sent", "param", "message"),
    [
        (body(temperature="hot"), "temperature", '"hot" is not a number'),
        (body(temperature=-1), "temperature", "-1.0 is outside 0.0 to 100.0"),
        (body(top_p=0), "top_p", "0.0 is not above 0 and at most 1.0"),
        (body(top_k=-1), "top_k", "-1 is outside 0 to 4294967295"),
        (body(seed=1.5), "seed", "1.5 is not a whole number"),
        (body(seed=2**64), "seed", f"{2**64} is outside 0 to {2**64 - 1}"),
        (body(max_tokens=0), "max_tokens", "0 is outside 1 to 262144"),
        (body(max_completion_tokens=9), "max_tokens", "8 is not 9, max_completion_tokens"),
        (body(n=17), "n", "17 is outside 1 to 16"),
        (body(presence_penalty=3), "presence_penalty", "3.0 is outside -2.0 to 2.0"),
        (body(logit_bias={"a": 1}), "logit_bias.a", "is not the id of a token"),
        (body(logit_bias={"9999": 1}), "logit_bias", "9999 is outside 0 to 511"),
        (body(stop=5), "stop", "is neither a string nor a list of strings"),
        (body(stop=["x"] * 17), "stop", "17 sequences are above 16"),
        (body(stream="yes"), "stream", '"yes" is not true or false'),
        (body(logprobs=True, top_logprobs=21), "top_logprobs", "21 is outside 0 to 20"),
        (body(top_logprobs=2), "top_logprobs", "2 needs logprobs to be true"),
        (body(frobnicate=1), "frobnicate", "not supported"),
        (body(functions=[]), "functions", "not supported"),
        (body(tool_choice="required"), "tool_choice", '"required" is not supported'),
        (body(tools=[WEATHER], response_format=SCHEMA), "tools", "together with response_format"),
        (body(tools=[{"type": "retrieval"}]), "tools[0].type", "'retrieval' is not supported"),
        (body(tools=[WEATHER, WEATHER]), "tools[1].function.name", "is declared twice"),
        (body(tools=[nested(33)]), "tools[0].function.parameters", "more than 32 levels deep"),
        (body(response_format={"type": "xml"}), "response_format.type", "'xml' is none of text"),
        (
            body(response_format={"type": "json_schema", "json_schema": {"schema": {"not": {}}}}),
            "response_format",
            "keyword 'not' of $",
        ),
        (body(reasoning_effort="xhigh"), "reasoning_effort", "'xhigh' is none of none, low"),
        (
            body(chat_template_kwargs={"style": 1}),
            "chat_template_kwargs.style",
            "chat template has no variable 'style'",
        ),
        (body(diffusion={"previews": True}), "diffusion.previews", "needs stream"),
        (
            body(diffusion={"previews": True, "max_rate_hz": 0}, stream=True),
            "diffusion.max_rate_hz",
            "0.0 is not above 0 and at most 1000",
        ),
        (body(diffusion={"steps": 1}), "diffusion.steps", "not supported"),
        (
            body(diffusion={"max_denoising_steps": 1_001}),
            "diffusion.max_denoising_steps",
            "1001 is outside 1 to 1000",
        ),
        (body(stream_options={"often": True}), "stream_options.often", "not supported"),
        (saying(), "messages", "is empty"),
        (saying("hi"), "messages[0]", '"hi" is not an object'),
        (saying(user("")), "messages[0].content", "is empty"),
        (saying({"role": "god"}), "messages[0].role", "'god' is none of system"),
        (saying(user("a") | {"name": "b"}), "messages[0].name", "not supported"),
        (
            saying({"role": "user", "content": [IMAGE]}),
            "messages[0].content[0].image_url.detail",
            "'huge' is none of auto, low, high",
        ),
        (
            saying({"role": "user", "content": [{"type": "input_audio"}]}),
            "messages[0].content[0].type",
            "'input_audio' is not supported by this version: text, image_url, video_url are",
        ),
        (saying(user("a"), ASSISTANT), "messages[1].tool_calls[0]", "'c' of 'f' has no result"),
        (
            saying(user("a"), ASSISTANT, {"role": "tool", "tool_call_id": "d", "content": "x"}),
            "messages[2].tool_call_id",
            "'d' is none of the calls that wait for one: 'c'",
        ),
        (
            saying({"role": "assistant", "tool_calls": [{"function": {"arguments": "{"}}]}),
            "messages[0].tool_calls[0].function.arguments",
            "is not JSON",
        ),
        (
            saying(user("a") | {"reasoning_content": "b"}),
            "messages[0].reasoning_content",
            "only an ASSISTANT message has this",
        ),
    ],
)
def test_a_bad_member_is_named_with_its_value_and_bound(
    server: ServerProcess, sent: dict[str, Any], param: str, message: str
) -> None:
    error = refused(server, sent)
    assert error["param"] == param
    assert error["message"].startswith(f"{param}: ")
    assert message in error["message"]


@pytest.mark.parametrize(
    ("members", "param", "message"),
    [
        ({"prompt": ""}, "prompt", "is empty"),
        ({}, "prompt", "is empty"),
        ({"prompt": ["a", "b"]}, "prompt", "is neither one text nor the token ids of one"),
        ({"prompt": [99_999]}, "prompt", "99999 is outside 0 to 511"),
        ({"prompt": "a", "echo": True}, "echo", "true is not supported"),
        ({"prompt": "a", "logprobs": 21}, "logprobs", "21 is outside 0 to 20"),
        ({"prompt": "a", "best_of": 2}, "best_of", "not supported"),
    ],
)
def test_a_bad_completion_is_refused_as_well(
    server: ServerProcess, members: dict[str, Any], param: str, message: str
) -> None:
    error = refused(server, {"model": MODEL, **members}, "/v1/completions")
    assert error["param"] == param
    assert message in error["message"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the body is no JSON object to act on"),
        (b"{", "the body is no JSON object to act on"),
        (b"[1]", "it is [1], not an object"),
        (b'{"temperature": NaN}', "NaN is no number of JSON"),
        (b"\xff\xfe", "the body is no JSON object to act on"),
        # a lone surrogate as some encoders write it, and text in UTF-16
        (b'{"messages": [{"role": "user", "content": "\xed\xa0\x80"}]}', "can't decode"),
        ('{"messages": []}'.encode("utf-16"), "can't decode"),
        (b'{"a":' * 5_000, "it is nested too deeply"),
        (FORM % (b'{"anyOf":[' * 300 + b"]}" * 300), "deep"),
        (FORM % (b'{"a":' * 970 + b"1" + b"}" * 970), "deep"),
        (b'{"messages": [{"role": "user", "content": "\\ud800"}]}', "surrogates not allowed"),
    ],
)
def test_what_is_no_json_object_is_refused(
    server: ServerProcess, content: bytes, message: str
) -> None:
    response = post(server, "/v1/chat/completions", content)
    assert response.status_code == 400
    assert message in response.json()["error"]["message"]


def test_a_body_over_the_limit_is_refused_by_its_size(server: ServerProcess) -> None:
    response = post(server, "/v1/chat/completions", b" " * 48_933_549)
    assert response.status_code == 413
    assert response.json()["error"]["message"] == "the body is larger than 48,933,548 bytes"


def test_a_prompt_over_the_context_has_the_code_that_clients_know(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="more than the context of 4096") as caught:
        ask(client, REVERSE * 500)
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "messages")


def test_a_model_that_is_not_served_is_not_found(client: OpenAI) -> None:
    messages: Any = [user(REVERSE)]
    with pytest.raises(openai.NotFoundError, match="'gpt-x' is not served here") as caught:
        client.chat.completions.create(model="gpt-x", messages=messages)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-x")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/embeddings", 404),
        ("POST", "/chat/completions", 404),
        ("GET", "/v1/chat/completions", 405),
    ],
)
def test_a_path_that_is_not_there_is_answered_in_the_same_shape(
    server: ServerProcess, method: str, path: str, status: int
) -> None:
    response = httpx.request(method, f"{server.url}{path}")
    assert response.status_code == status
    error = response.json()["error"]
    assert error["code"] == "unknown_url"
    assert error["message"].startswith(f"{method} {path}: ")


def test_every_answer_names_its_request_as_the_log_does(server: ServerProcess) -> None:
    url = f"{server.url}/v1/chat/completions"
    kept = httpx.post(url, json=body(), headers={"x-request-id": "mine-1"}, timeout=60.0)
    refused = httpx.post(url, json=body(n=0), headers={"x-request-id": "a\tb"})
    assert kept.headers["x-request-id"] == "mine-1"
    assert kept.json()["id"] == "chatcmpl-mine-1"
    assert "/v1/chat/completions request_id=mine-1 status=OK" in server.log
    made_up = refused.headers["x-request-id"]
    assert made_up.isalnum()
    assert f"request_id={made_up} status=INVALID_ARGUMENT" in server.log
