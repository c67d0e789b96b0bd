"""Files from URLs, of hosts that the operator has allowed: bounded in bytes, time and redirects,
and never from an address that only this machine or its network reaches.

A name is resolved once for each request, all its addresses are checked, and the checked one is
connected to, so that no second answer of a name server can lead elsewhere. Proxies that the
environment names are not used.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit

import h11

from palimpsest.server.media.addresses import is_public, resolve
from palimpsest.server.media.unreadable import Unreadable

FETCH_S = 15
"""Over all redirects."""
MAX_REDIRECTS = 3
MAX_URL = 4096
"""Characters."""
DOMAINS_FLAG = "--allowed-media-domains"
_PORTS = {"https": 443, "http": 80}
_READ_BYTES = 1 << 16
_REDIRECTS = (301, 302, 303, 307, 308)
_SHOWN = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetcher:
    """Fetches what its hosts have."""

    domains: Sequence[str]
    """Hosts, or host:port where the port is not the scheme's; none: nothing is fetched."""
    max_bytes: int
    resolve: Callable[[str, int], Awaitable[Sequence[str]]] = resolve
    is_public: Callable[[str], bool] = is_public

    async def fetch(self, url: str) -> bytes:
        """The body of the answer. Raises Unreadable."""
        try:
            async with asyncio.timeout(FETCH_S):
                for _ in range(MAX_REDIRECTS + 1):
                    answer = await self._answer(self._checked(url))
                    if isinstance(answer, bytes):
                        return answer
                    url = urljoin(url, answer)
        except TimeoutError:
            raise Unreadable(f"takes more than {FETCH_S} s to fetch") from None
        except (OSError, ValueError, h11.ProtocolError) as wrong:  # a redirect may be no URL
            shown = " ".join(str(wrong).split()) or type(wrong).__name__
            raise Unreadable(f"cannot be fetched: {shown[:_SHOWN]}") from None
        raise Unreadable(f"leads over more than {MAX_REDIRECTS} redirects")

    def _checked(self, url: str) -> SplitResult:
        """Raises Unreadable for what may not be fetched."""
        if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
            raise Unreadable(f"is not at most {MAX_URL} printable characters of ASCII")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as wrong:
            raise Unreadable(f"is no URL: {wrong}") from None
        if parts.scheme not in _PORTS or not parts.hostname:
            raise Unreadable(f"is {url[:_SHOWN]!r}, not like https://host/path")
        if parts.username is not None or parts.password is not None:
            raise Unreadable("holds a user name or password")
        host = parts.hostname
        if port not in (None, _PORTS[parts.scheme]):
            host = f"{host}:{port}"
        if host not in self.domains:
            raise Unreadable(
                f"is at {host}, from which this server does not fetch: send the data instead, or "
                f"have its operator start it with {DOMAINS_FLAG} {host}"
            )
        return parts

    async def _answer(self, url: SplitResult) -> bytes | str:
        """The body, or where else it is."""
        assert url.hostname is not None
        port = url.port or _PORTS[url.scheme]
        addresses = await self.resolve(url.hostname, port)
        for address in addresses:
            if not self.is_public(address):
                raise Unreadable(f"is at {url.hostname}, whose address {address} is not public")
        secure = url.scheme == "https"
        reader, writer = await asyncio.open_connection(
            addresses[0],
            port,
            ssl=ssl.create_default_context() if secure else None,
            server_hostname=url.hostname if secure else None,
        )
        try:
            return await _Exchange(reader, writer, self.max_bytes).get(url)
        finally:
            writer.transport.abort()


class _Exchange:
    """One request and its answer."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, max_bytes: int
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._max_bytes = max_bytes
        self._http = h11.Connection(h11.CLIENT)

    async def get(self, url: SplitResult) -> bytes | str:
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        headers = [
            ("host", url.netloc),
            ("accept", "image/*, video/*"),
            ("accept-encoding", "identity"),
            ("user-agent", "palimpsest"),
            ("connection", "close"),
        ]
        asked = h11.Request(method="GET", target=path, headers=headers)
        for event in (asked, h11.EndOfMessage()):
            self._writer.write(self._http.send(event) or b"")
        await self._writer.drain()
        answer = await self._event()
        while isinstance(answer, h11.InformationalResponse):
            answer = await self._event()
        if not isinstance(answer, h11.Response):
            raise Unreadable("cannot be fetched: the host said nothing")
        said = dict(answer.headers)
        if answer.status_code in _REDIRECTS and b"location" in said:
            return said[b"location"].decode("latin-1")
        if answer.status_code != 200:
            raise Unreadable(f"cannot be fetched: the host answered {answer.status_code}")
        if said.get(b"content-encoding", b"identity") != b"identity":
            raise Unreadable("cannot be fetched: the host sent it compressed")
        return await self._body()

    async def _body(self) -> bytes:
        received = bytearray()
        while isinstance(event := await self._event(), h11.Data):
            received += event.data
            if len(received) > self._max_bytes:
                raise Unreadable(f"has more than {self._max_bytes:,} bytes")
        return bytes(received)

    async def _event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._reader.read(_READ_BYTES))
        return event
