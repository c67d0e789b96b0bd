"""The HTTP port from start to end: loading, hang-ups, full queues, deadlines, draining."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from calls import REVERSE
from openai import OpenAI
from openai_calls import NEVER_CONVERGES, ask, connected
from server_process import COMMAND, ServerProcess, Start

from palimpsest.server.http.listener import HttpListener

BUSY = {"diffusion": {**NEVER_CONVERGES, "previews": True, "max_rate_hz": 1_000}}
EXIT_S = 60.0


@pytest.fixture(scope="module")
def narrow(start: Start) -> ServerProcess:
    """One request at a time, and none may wait."""
    return start("--max-num-seqs", "1", "--max-queue", "0")


@pytest.fixture
def narrow_client(narrow: ServerProcess) -> Iterator[OpenAI]:
    with connected(narrow) as opened:
        yield opened


def until_denoising(client: OpenAI, **members: Any) -> Any:  # noqa: ANN401 - the client's own type
    """A stream that has shown its first draft."""
    stream = ask(client, REVERSE, stream=True, extra_body=BUSY, **members)
    for chunk in stream:
        if "diffusion" in (chunk.model_extra or {}):
            return stream
    raise AssertionError("the stream ended without a draft")


def test_a_server_that_loads_lives_and_is_not_ready() -> None:
    with subprocess.Popen(COMMAND, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        url = re.search(r"http://\S+(?=,)", process.stderr.readline())
        assert url is not None
        assert httpx.get(f"{url[0]}/healthz").status_code == 200
        ready = httpx.get(f"{url[0]}/readyz")
        assert (ready.status_code, ready.json()) == (503, {"status": "loading"})
        with OpenAI(base_url=f"{url[0]}/v1", api_key="unused", max_retries=0) as client:
            with pytest.raises(openai.InternalServerError, match="still being loaded") as caught:
                ask(client, REVERSE)
            assert caught.value.status_code == 503
            assert int(caught.value.response.headers["retry-after"]) >= 1
        process.send_signal(signal.SIGINT)
        assert process.wait(EXIT_S) == 0
        assert "Traceback" not in process.stderr.read()


def test_a_server_that_answers_is_ready(server: ServerProcess) -> None:
    ready = httpx.get(f"{server.url}/readyz")
    assert (ready.status_code, ready.json()) == (200, {"status": "serving"})


def test_a_client_that_hangs_up_frees_the_engine(server: ServerProcess, client: OpenAI) -> None:
    until_denoising(client, extra_headers={"x-request-id": "hung-up-1"}).close()
    # one request runs at a time, so this one waits until the engine has let go of the other
    assert ask(client, REVERSE).choices[0].message.content == "savnac"
    assert "request_id=hung-up-1 status=CANCELLED" in server.log


def test_so_does_one_that_waits_for_a_whole_answer(server: ServerProcess, client: OpenAI) -> None:
    with pytest.raises(openai.APITimeoutError):
        ask(
            client,
            REVERSE,
            timeout=0.3,
            extra_body={"diffusion": NEVER_CONVERGES},
            extra_headers={"x-request-id": "hung-up-2"},
        )
    assert ask(client, REVERSE).choices[0].message.content == "savnac"
    assert "request_id=hung-up-2 status=CANCELLED" in server.log


def test_a_full_queue_says_when_to_come_again(narrow_client: OpenAI) -> None:
    running = until_denoising(narrow_client)
    with pytest.raises(openai.RateLimitError, match="--max-queue") as caught:
        ask(narrow_client, REVERSE)
    assert caught.value.code == "queue_full"
    assert int(caught.value.response.headers["retry-after"]) >= 1
    running.close()


def test_a_terminated_server_finishes_its_streams_and_takes_nothing_new(
    narrow: ServerProcess, narrow_client: OpenAI
) -> None:
    settings = {"max_denoising_steps": 25, "confidence_threshold": 0.0, "previews": True}
    stream = ask(narrow_client, REVERSE, stream=True, extra_body={"diffusion": settings})
    first = next(iter(stream))
    os.kill(narrow.process.pid, signal.SIGTERM)

    response = httpx.get(f"{narrow.url}/readyz")
    while response.status_code == 200:
        response = httpx.get(f"{narrow.url}/readyz")
    assert (response.status_code, response.json()) == (503, {"status": "draining"})
    with pytest.raises(openai.InternalServerError, match="shutting down") as caught:
        ask(narrow_client, REVERSE)
    assert caught.value.status_code == 503
    chunks = [first, *stream]
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert narrow.process.wait(EXIT_S) == 0
    assert "Traceback" not in narrow.log


def test_an_http_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf"--http-port: cannot listen on 127.0.0.1:{port}"):
            HttpListener("127.0.0.1", port)
