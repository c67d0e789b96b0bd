"""OpenAI's own clients for Python and Node, unmodified, against a server that asks for a key."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai_scenarios import ENVIRONMENT, FLAGS, PACKAGE, played
from server_process import ServerProcess, start_server

TOOL_LOOP = (
    'get_weather {"city": "Oslo"} → It is cloudy in Oslo, at -5 degrees. → '
    'get_weather {"city": "Rome"} → It is sunny in Rome, at 21 degrees.'
)
RESULTS = {
    "models": "palimpsest-tiny",
    "chat": "savnac stop 6 tokens",
    "stream": "2 parts as in one piece",
    "drafts": "drafts and savnac",
    "tools": TOOL_LOOP,
    "JSON schema": '{"name": "ada", "age": 36}',
    "thinking": "967 after a thought",
    "logprobs": "s-a-v-n-a-c of 3 each",
    "responses": "savnac completed 6 tokens",
    "responses, stream": "created to completed, 2 parts as in one piece",
    "responses, tools": TOOL_LOOP.rpartition(" → get_weather")[0],
    "abort in mid-stream": "then savnac",
    "wrong key": "AuthenticationError 401 invalid_api_key",
    "over-long prompt": "BadRequestError 400 context_length_exceeded messages",
    "image": "red",
    "broken image": "BadRequestError 400 invalid_request messages[0].content[1].image_url",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    log_path = tmp_path_factory.mktemp("server") / "log"
    started = start_server(log_path, *FLAGS, environment=ENVIRONMENT)
    yield started
    assert started.stop() == 0, started.log


@pytest.mark.parametrize("client", ["Python", "Node"])
def test_a_client_gets_what_it_asks_for(server: ServerProcess, client: str) -> None:
    if client == "Node":
        _skip_without_node()
    assert played(server, client) == RESULTS
    assert f"request_id=aborted-by-{client.lower()} status=CANCELLED" in server.log
    assert "Traceback" not in server.log


def _skip_without_node() -> None:
    if shutil.which("node") is None:
        pytest.skip("there is no Node here")
    if not Path(PACKAGE).exists():
        pytest.skip("no packages of npm here; run `make test`")
