"""The page's files over HTTP."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from server_process import ServerProcess
from starlette.applications import Starlette

from palimpsest.server.page.files import BUILT
from palimpsest.server.page.routes import HEADERS, page_routes

SCRIPT = "console.log('a page');\n" * 100


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """What asks for a page that was built from a script."""
    (tmp_path / "index.html").write_text("<!doctype html>")
    (tmp_path / "page.js").write_text(SCRIPT)
    async with asking(tmp_path) as client:
        yield client


def asking(folder: Path) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(Starlette(routes=page_routes(folder)))
    return httpx.AsyncClient(transport=transport, base_url="http://page")


@pytest.mark.parametrize(("path", "kind"), [("/", "text/html"), ("/page.js", "text/javascript")])
async def test_every_file_is_sent_with_its_type_and_the_rules_for_browsers(
    browser: httpx.AsyncClient, path: str, kind: str
) -> None:
    response = await browser.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"] == f"{kind}; charset=utf-8"
    assert HEADERS.items() <= dict(response.headers).items()


@pytest.mark.parametrize("accepted", ["gzip", "br, GZIP;q=0.5", "*", "deflate, gzip ; q=1.0"])
async def test_who_takes_gzip_gets_it(browser: httpx.AsyncClient, accepted: str) -> None:
    async with browser.stream("GET", "/page.js", headers={"accept-encoding": accepted}) as response:
        sent = b"".join([piece async for piece in response.aiter_raw()])
    assert response.headers["content-encoding"] == "gzip"
    assert int(response.headers["content-length"]) == len(sent) < len(SCRIPT) / 10
    assert gzip.decompress(sent).decode() == SCRIPT


@pytest.mark.parametrize("accepted", ["", "identity", "br", "gzip;q=0", "*, gzip;q=0.0"])
async def test_who_does_not_take_gzip_gets_the_file_as_it_is(
    browser: httpx.AsyncClient, accepted: str
) -> None:
    response = await browser.get("/page.js", headers={"accept-encoding": accepted})
    assert "content-encoding" not in response.headers
    assert response.text == SCRIPT


async def test_a_file_that_the_browser_has_is_not_sent_again(browser: httpx.AsyncClient) -> None:
    etag = (await browser.get("/page.js")).headers["etag"]
    again = await browser.get("/page.js", headers={"if-none-match": f'"other", {etag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    other = await browser.get("/page.js", headers={"if-none-match": '"other"'})
    assert other.status_code == 200


async def test_nothing_can_be_posted_to_a_file(browser: httpx.AsyncClient) -> None:
    assert (await browser.post("/page.js")).status_code == 405


async def test_a_page_that_is_not_built_says_how_to_build_it(tmp_path: Path) -> None:
    async with asking(tmp_path / "missing") as client:
        response = await client.get("/")
    assert response.status_code == 404
    assert response.headers["content-type"].startswith("text/plain")
    assert "`make page`" in response.text


def test_a_server_has_the_page_beside_its_apis(server: ServerProcess) -> None:
    page = httpx.get(server.url)
    assert page.status_code == (200 if (BUILT / "index.html").exists() else 404)
    head = httpx.head(server.url)
    assert (head.status_code, head.content) == (page.status_code, b"")
    assert httpx.get(f"{server.url}/v1/models").status_code == 200
    assert httpx.get(f"{server.url}/no/such/file").json()["error"]["code"] == "unknown_url"
    assert f"the page at {server.url}/\n" in server.log
