"""API keys: where they come from, and that no door opens without one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import httpx
import openai
import pytest
from calls import REVERSE, asking, details_of, found
from connect_calls import DIALECTS, SERVICE, Dialect, call, envelope, url
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from openai import OpenAI
from openai_calls import ask
from server_process import ServerProcess, Start

from palimpsest import Client
from palimpsest.aio import AsyncClient
from palimpsest.errors import AccessDenied
from palimpsest.server.keys import Keys, Unauthenticated, read_keys
from palimpsest.server.main import main
from palimpsest.v1 import generation_pb2

OF_FILE, OF_ENVIRONMENT, WRONG = "key-of-a-file", "key-of-the-environment", "key-of-nobody"
STRANGERS: list[dict[str, str]] = [
    {},
    {"authorization": f"Bearer {WRONG}"},
    {"authorization": f"Basic {OF_FILE}"},
    {"authorization": "Bearer"},
    {"authorization": OF_FILE},
]
OPENAI_PATHS = (
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/completions"),
    ("POST", "/v1/responses"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/palimpsest-tiny"),
)


@pytest.fixture(scope="module")
def guarded(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with a key of each kind."""
    path = tmp_path_factory.mktemp("keys") / "keys"
    path.write_text(f"# of a test\n\n{OF_FILE}  # the only one\n")
    variables = {"PALIMPSEST_API_KEY": f"another, {OF_ENVIRONMENT}"}
    server = start("--api-key-file", str(path), environment=variables)
    yield server
    for key in (OF_FILE, OF_ENVIRONMENT, WRONG):
        assert key not in server.log
    assert "Traceback" not in server.log


def refusal(keys: Keys, authorization: str) -> Unauthenticated | None:
    return keys.refusal({"authorization": authorization})


def bearing(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def test_keys_of_a_file_and_of_the_environment_count_alike(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("# comment\r\n\n  a,b \nc#d # of a friend\n")
    keys = read_keys(path, {"PALIMPSEST_API_KEY": "e, f"})
    assert keys is not None
    for key in ("a,b", "c#d", "e", "f"):
        assert refusal(keys, f"Bearer {key}") is None
        assert refusal(keys, f"bearer  {key}") is None
    for key in ("a", "b", "c", "e, f", "E", "# comment", ""):
        assert refusal(keys, f"Bearer {key}") is not None


def test_an_empty_variable_is_no_key() -> None:
    assert read_keys(None, {"PALIMPSEST_API_KEY": ""}) is None
    assert read_keys(None, {}) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# nothing\n", "holds no key"),
        ("good\nsecret one\n", "line 2 of .* is more than one word"),
        ("secrét\n", "line 1 of .* is empty, or not of visible ASCII"),
    ],
)
def test_a_bad_file_is_refused_by_its_line_and_not_by_what_stands_there(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "keys"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"--api-key-file: .*{message}") as caught:
        read_keys(path, {})
    assert "secr" not in str(caught.value)


@pytest.mark.parametrize("value", ["a,,b", "a, ", "a,b c"])
def test_a_bad_variable_is_refused_by_the_place_of_the_key(value: str) -> None:
    with pytest.raises(ValueError, match="PALIMPSEST_API_KEY: key 2 is empty"):
        read_keys(None, {"PALIMPSEST_API_KEY": value})


def test_no_key_shows_in_what_holds_them() -> None:
    assert "secret" not in repr(Keys.of(["secret"])) + str(refusal(Keys.of(["a"]), "Bearer secret"))


@pytest.mark.parametrize("headers", STRANGERS, ids=str)
def test_no_method_over_grpc_answers_a_stranger(
    guarded: ServerProcess, headers: Mapping[str, str]
) -> None:
    for method in SERVICE.methods:
        invoke = guarded.channel.unary_stream(
            f"/{SERVICE.full_name}/{method.name}",
            GetMessageClass(method.input_type).SerializeToString,
        )
        with pytest.raises(grpc.RpcError) as caught:
            list(invoke(GetMessageClass(method.input_type)(), metadata=tuple(headers.items())))
        status = details_of(caught.value)
        assert status.code == grpc.StatusCode.UNAUTHENTICATED.value[0], method.name
        info = error_details_pb2.ErrorInfo()
        assert found(status, info)
        assert info.reason == "INVALID_API_KEY"


def test_reflection_needs_a_key_and_health_does_not(guarded: ServerProcess) -> None:
    health: Any = health_pb2_grpc.HealthStub(guarded.channel)
    status = health.Check(health_pb2.HealthCheckRequest()).status
    assert status == health_pb2.HealthCheckResponse.SERVING
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(guarded.channel)
    reflection = stub.ServerReflectionInfo
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    with pytest.raises(grpc.RpcError) as caught:
        list(reflection(iter([asked])))
    assert details_of(caught.value).code == grpc.StatusCode.UNAUTHENTICATED.value[0]
    (told,) = reflection(iter([asked]), metadata=tuple(bearing(OF_FILE).items()))
    names = [service.name for service in told.list_services_response.service]
    assert SERVICE.full_name in names


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=list(DIALECTS))
async def test_one_message_over_http_is_for_callers_with_a_key(
    guarded: ServerProcess, dialect: Dialect
) -> None:
    request = generation_pb2.GenerateRequest(input=asking(REVERSE))
    for headers in STRANGERS:
        with pytest.raises(ConnectError) as caught:
            await call(guarded, dialect, "Generate", request, headers)
        assert caught.value.code is Code.UNAUTHENTICATED
        (info,) = caught.value.details
        assert b"INVALID_API_KEY" in info.message_bytes
    answer = await call(guarded, dialect, "Generate", request, bearing(OF_FILE))
    assert answer.text == "savnac"


def test_no_method_over_connect_answers_a_stranger(guarded: ServerProcess) -> None:
    for method in SERVICE.methods:
        message = GetMessageClass(method.input_type)()
        if method.server_streaming:
            headers = {"content-type": "application/connect+proto"}
            told = httpx.post(url(guarded, method.name), headers=headers, content=envelope(message))
            assert b'"unauthenticated"' in told.content, method.name
        else:
            told = httpx.post(url(guarded, method.name), json={})
            assert (told.status_code, told.json()["code"]) == (401, "unauthenticated"), method.name


@pytest.mark.parametrize("headers", STRANGERS, ids=str)
def test_no_path_of_openai_answers_a_stranger(
    guarded: ServerProcess, headers: Mapping[str, str]
) -> None:
    for method, path in OPENAI_PATHS:
        # not even what is wrong with a body
        told = httpx.request(method, f"{guarded.url}{path}", headers=headers, content=b"{")
        assert told.status_code == 401, path
        assert told.headers["www-authenticate"] == "Bearer"
        error = told.json()["error"]
        assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_api_key")


def test_probes_need_no_key(guarded: ServerProcess) -> None:
    assert httpx.get(f"{guarded.url}/healthz").status_code == 200
    assert httpx.get(f"{guarded.url}/readyz").status_code == 200


def test_clients_send_their_key(guarded: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    with OpenAI(base_url=f"{guarded.url}/v1", api_key=OF_ENVIRONMENT) as client:
        assert ask(client, REVERSE).choices[0].message.content == "savnac"
    refused = pytest.raises(openai.AuthenticationError, match="not one of this server's")
    with OpenAI(base_url=f"{guarded.url}/v1", api_key=WRONG) as client, refused:
        ask(client, REVERSE)
    for key in (None, "", WRONG):
        with Client(guarded.address, api_key=key) as client, pytest.raises(AccessDenied):
            client.model()
    monkeypatch.setenv("PALIMPSEST_API_KEY", f"{OF_FILE},{WRONG}")
    with Client(guarded.address) as client:
        assert client.generate(REVERSE, seed=7).text == "savnac"


async def test_so_does_the_asyncio_client(guarded: ServerProcess) -> None:
    async with AsyncClient(guarded.address, api_key=OF_FILE) as client:
        assert (await client.generate(REVERSE, seed=7)).text == "savnac"
        with pytest.raises(AccessDenied, match="no API key"):
            await client.generate(REVERSE, metadata={"Authorization": ""})


def test_a_refused_call_has_a_line_in_the_log(guarded: ServerProcess) -> None:
    httpx.get(f"{guarded.url}/v1/models", headers={"x-request-id": "stranger"})
    assert "/v1/models request_id=stranger status=UNAUTHENTICATED" in guarded.log


def test_a_server_that_others_reach_does_not_start_without_keys(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--host", "0.0.0.0"])
    assert caught.value.code == 2
    assert "--no-auth" in capfd.readouterr().err
