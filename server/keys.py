"""Who may call: API keys, read once at start and kept as digests alone.

What a caller sent is compared in constant time, and never logged, traced or repeated.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

KEY_FILE_FLAG = "--api-key-file"
KEY_VARIABLE = "PALIMPSEST_API_KEY"
HEADER = "authorization"

_KEY = re.compile("[!-~]+")
_SCHEME = "bearer"
_MISSING = f"no API key came with the call: send it as '{HEADER}: Bearer KEY'"
_WRONG = "the API key that came with the call is not one of this server's"


class Unauthenticated(Exception):
    """The caller has shown no key of this server's."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What callers have to show."""

    digests: Collection[bytes] = field(repr=False)
    """SHA-256 of each key."""

    @classmethod
    def of(cls, keys: Iterable[str]) -> Keys:
        return cls(frozenset(map(_digest, keys)))

    def refusal(self, headers: Mapping[str, str]) -> Unauthenticated | None:
        """Why a call with `headers`, whose names are in lower case, is refused, if it is."""
        scheme, _, key = headers.get(HEADER, "").partition(" ")
        if scheme.lower() != _SCHEME or not key.strip():
            return Unauthenticated(_MISSING)
        shown = _digest(key.strip())
        # a list: every digest is compared, whichever is equal
        equal = [hmac.compare_digest(shown, digest) for digest in self.digests]
        return None if any(equal) else Unauthenticated(_WRONG)


def read_keys(path: Path | None, environment: Mapping[str, str]) -> Keys | None:
    """The keys of a file, one a line, and those of the environment; None where there are none.

    Raises ValueError that names the flag or the variable, and never what stands there.
    """
    keys = _of_environment(environment)
    if path is not None:
        keys += _of_file(path)
    return Keys.of(keys) if keys else None


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`, which is an address or a name."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _of_environment(environment: Mapping[str, str]) -> list[str]:
    given = environment.get(KEY_VARIABLE, "").strip()
    keys = [key.strip() for key in given.split(",")] if given else []
    for index, key in enumerate(keys, 1):
        _check(key, f"{KEY_VARIABLE}: key {index}")
    return keys


def _of_file(path: Path) -> list[str]:
    try:
        lines = path.read_text("utf-8", errors="replace").splitlines()
    except OSError as error:
        raise ValueError(f"{KEY_FILE_FLAG}: cannot read {path}: {error.strerror}") from None
    keys = []
    for number, line in enumerate(lines, 1):
        key, *rest = line.split() or ["#"]
        if key.startswith("#"):
            continue
        if rest and not rest[0].startswith("#"):
            raise ValueError(f"{KEY_FILE_FLAG}: line {number} of {path} is more than one word")
        _check(key, f"{KEY_FILE_FLAG}: line {number} of {path}")
        keys.append(key)
    if not keys:
        raise ValueError(f"{KEY_FILE_FLAG}: {path} holds no key")
    return keys


def _check(key: str, where: str) -> None:
    if not _KEY.fullmatch(key):
        raise ValueError(f"{where} is empty, or not of visible ASCII characters alone")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
