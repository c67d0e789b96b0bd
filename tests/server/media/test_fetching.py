"""Files from URLs: what is fetched, what is not, and that no bound is passed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from palimpsest.server.media import fetching
from palimpsest.server.media.addresses import is_public
from palimpsest.server.media.fetching import Fetcher
from palimpsest.server.media.unreadable import Unreadable

HOST = "pictures.example"
OK = b"HTTP/1.1 200 OK\r\n"
ANSWERS = {
    "/plain": OK + b"content-length: 5\r\n\r\nhello",
    "/chunked": OK + b"transfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
    "/until-it-closes": OK + b"\r\nhello",
    "/short": OK + b"content-length: 9\r\n\r\nhello",
    "/large": OK + b"\r\n" + bytes(1_001),
    "/packed": OK + b"content-encoding: gzip\r\n\r\nhello",
    "/gone": b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
    "/noise": b"\x16\x03\x01 nothing that HTTP knows\r\n\r\n",
    "/silence": b"",
    "/headers": OK + b"x: " + b"y" * 200_000,
}


class Site:
    """A real host on a port of this machine, which its names lead to."""

    def __init__(self) -> None:
        self.port = 0
        self.asked: list[str] = []
        self.resolved: list[str] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        path = request.split()[1].decode()
        self.asked.append(path)
        if path.startswith("/to:"):
            location = path.removeprefix("/to:").replace("PORT", str(self.port))
            said = f"HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n"
            writer.write(said.encode())
        elif path == "/stalls":
            await reader.read()
        else:
            writer.write(ANSWERS[path])
        writer.close()

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """Any name is here."""
        self.resolved.append(host)
        return ["127.0.0.1"]

    def url(self, path: str) -> str:
        return f"http://{HOST}:{self.port}{path}"

    def fetcher(self) -> Fetcher:
        """One that may fetch from here."""
        return Fetcher(
            domains=(f"{HOST}:{self.port}",),
            max_bytes=1_000,
            resolve=self.resolve,
            is_public=lambda address: address == "127.0.0.1",
        )


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    opened = Site()
    listening = await asyncio.start_server(opened.answer, "127.0.0.1", 0)
    opened.port = listening.sockets[0].getsockname()[1]
    yield opened
    listening.close()


@pytest.mark.parametrize("path", ["/plain", "/chunked", "/until-it-closes", "/to:/plain"])
async def test_a_file_is_fetched(site: Site, path: str) -> None:
    assert await site.fetcher().fetch(site.url(path)) == b"hello"


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("/short", "cannot be fetched"),
        ("/large", "has more than 1,000 bytes"),
        ("/packed", "sent it compressed"),
        ("/gone", "the host answered 404"),
        ("/noise", "cannot be fetched"),
        ("/silence", "cannot be fetched"),
        ("/headers", "cannot be fetched"),
        ("/to:/to:/to:/to:/to:/plain", "over more than 3 redirects"),
        ("/to:http://[x/", "cannot be fetched: Invalid IPv6 URL"),
        ("/to:http://other.example:PORT/plain", "is at other.example:"),
        ("/to:ftp://pictures.example/plain", "not like https"),
        ("/to:file:///etc/passwd", "not like https"),
    ],
)
async def test_what_goes_wrong_is_said(site: Site, path: str, complaint: str) -> None:
    with pytest.raises(Unreadable, match=complaint):
        await site.fetcher().fetch(site.url(path))


async def test_a_host_that_stalls_is_left(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "FETCH_S", 0.2)
    with pytest.raises(Unreadable, match=r"takes more than 0\.2 s to fetch"):
        await site.fetcher().fetch(site.url("/stalls"))


async def test_a_name_that_leads_to_a_private_address_is_refused(site: Site) -> None:
    fetcher = replace(site.fetcher(), is_public=is_public)
    with pytest.raises(Unreadable, match=r"whose address 127\.0\.0\.1 is not public"):
        await fetcher.fetch(site.url("/plain"))
    assert site.asked == []


async def test_each_redirect_is_resolved_and_checked_anew(site: Site) -> None:
    answers = iter([True, False])
    fetcher = replace(site.fetcher(), is_public=lambda _: next(answers))
    with pytest.raises(Unreadable, match="is not public"):
        await fetcher.fetch(site.url("/to:/plain"))
    assert site.resolved == [HOST, HOST]
    assert site.asked == ["/to:/plain"]


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("https://elsewhere.example/a.png", "start it with --allowed-media-domains elsewhere"),
        ("https://pictures.example:8443/a.png", "is at pictures.example:8443, from which"),
        ("https://pictures.example@evil.example/a.png", "holds a user name"),
        ("https://user:word@pictures.example/a.png", "holds a user name"),
        ("https://evilpictures.example/a.png", "from which this server does not fetch"),
        ("https://sub.pictures.example/a.png", "from which this server does not fetch"),
        ("file:///etc/passwd", "not like https"),
        ("gopher://pictures.example/", "not like https"),
        ("//pictures.example/a.png", "not like https"),
        ("https://", "not like https"),
        ("https://pictures.example:99999/", "is no URL"),
        ("https://[::1", "is no URL"),
        ("https://pictures.example/\r\nhost: evil", "printable characters of ASCII"),
        ("https://pictures.example/ä", "printable characters of ASCII"),
        ("https://pictures.example/" + "a" * 5_000, "at most 4096"),
    ],
)
async def test_a_url_that_may_not_be_fetched_is_refused_unasked(url: str, complaint: str) -> None:
    async def nobody(host: str, port: int) -> Sequence[str]:
        raise AssertionError(host)

    fetcher = Fetcher(domains=(HOST,), max_bytes=1_000, resolve=nobody)
    with pytest.raises(Unreadable, match=complaint):
        await fetcher.fetch(url)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "192.0.2.1",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
        "2001:db8::1",
    ],
)
def test_an_address_that_not_everybody_reaches_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111"])
def test_an_address_that_everybody_reaches_is_public(address: str) -> None:
    assert is_public(address)
