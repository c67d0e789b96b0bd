"""Which addresses of a host may be fetched from: those that everybody reaches, and no others."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

from palimpsest.server.media.unreadable import Unreadable

_TUNNELS = [
    # they carry an IPv4 address inside, which may be a private one
    ipaddress.IPv6Network(network)
    for network in ("::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")
]


def is_public(address: str) -> bool:
    """Whether it is neither private, loopback, link-local, reserved nor a group of hosts."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        elif any(parsed in tunnel for tunnel in _TUNNELS):
            return False
    return parsed.is_global and not parsed.is_multicast


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host. Raises Unreadable."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Unreadable(f"is at {host}, which has no address") from None
    return list(dict.fromkeys(str(where[0]) for *_, where in found))
