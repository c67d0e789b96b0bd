"""Which pages may call: those that the operator named."""

from __future__ import annotations

import httpx
from connect_calls import url
from server_process import ServerProcess

from palimpsest.server.connect.cors import with_cors

ALLOWED = "https://page.example"
"""What the shared server was started with."""


def ask_first(server: ServerProcess, origin: str) -> httpx.Response:
    """What a browser sends before a call that a page of `origin` makes."""
    headers = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "connect-protocol-version,connect-timeout-ms,x-grpc-web",
    }
    return httpx.options(url(server, "Generate"), headers=headers)


def test_a_page_of_an_origin_that_is_allowed_may_call(server: ServerProcess) -> None:
    response = ask_first(server, ALLOWED)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == ALLOWED
    assert "POST" in response.headers["access-control-allow-methods"]


def test_a_page_of_another_origin_may_not(server: ServerProcess) -> None:
    response = ask_first(server, "https://other.example")
    assert response.status_code == 400
    assert "access-control-allow-origin" not in response.headers


def test_a_page_may_read_how_a_call_over_grpc_web_ended(server: ServerProcess) -> None:
    headers = {"origin": ALLOWED, "content-type": "application/json"}
    response = httpx.post(url(server, "GetModel"), headers=headers, content="{}")
    assert response.headers["access-control-allow-origin"] == ALLOWED
    exposed = response.headers["access-control-expose-headers"]
    assert exposed.startswith("grpc-message, grpc-status, grpc-status-details-bin, ")


def test_a_page_may_call_with_the_headers_of_openais_client(server: ServerProcess) -> None:
    sent = "authorization,content-type,x-stainless-lang,x-stainless-retry-count"
    headers = {
        "origin": ALLOWED,
        "access-control-request-method": "POST",
        "access-control-request-headers": sent,
    }
    response = httpx.options(f"{server.url}/v1/chat/completions", headers=headers)
    assert (response.status_code, response.text) == (200, "OK")
    assert response.headers["access-control-allow-headers"] == sent


def test_without_an_origin_nothing_is_allowed() -> None:
    async def app(scope: object, receive: object, send: object) -> None: ...

    assert with_cors(app, ()) is app
