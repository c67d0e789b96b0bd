"""Reads a tool call as the model writes it: `call:NAME{key:value,…}`, strings between quote tokens.

What stands between quote tokens is never read as anything but a string, whatever it holds. Around
that, forms that models fall into are understood too: round brackets, `=` for `:`, JSON strings,
single quotes, bare words, Python's literals and a trailing comma. Knows text only, no tokens.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

MAX_DEPTH = 24
"""Of values inside one another; messages of the contract nested deeper cannot be read."""

_STRING = "\N{REPLACEMENT CHARACTER}\N{OBJECT REPLACEMENT CHARACTER}"
"""Stands for a quoted string in the text around it."""
_NAME = re.compile(r"\s*call:([A-Za-z0-9_.-]{1,64})\s*(?=[{(])")
_KEY = re.compile(r"""[^\s:=,{}\[\]()<"'][^:=,{}\[\]()<"']*""")
_WORD = re.compile(r"""[^\s,{}\[\]()<"'][^,{}\[\]()<"']*""")
_UNTIL_APOSTROPHE = re.compile(r"[^']*'")
_QUOTES = (_STRING, '"', "'")
_JSON = json.JSONDecoder(strict=False)
_SPACE = re.compile(r"\s*")
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_LITERALS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
_CLOSING = {"{": "}", "(": ")"}


def read_call(segments: Sequence[str]) -> tuple[str, dict[str, Any]] | None:
    """Name and arguments of a call, or None if it cannot be understood.

    `segments` is the call without its markers, cut at the quote tokens: every second one is a
    string.
    """
    if len(segments) % 2 == 0 or any(_STRING in segment for segment in segments[::2]):
        return None
    text = _STRING.join(segments[::2])
    found = _NAME.match(text)
    if found is None:
        return None
    reader = _Reader(text, iter(segments[1::2]), start=found.end())
    try:
        arguments = reader.members(depth=1)
        reader.expect_end()
    except _Malformed:
        return None
    return found[1], arguments


class _Malformed(Exception):
    """This is not the notation of a call."""


class _Reader:
    """Recursive descent over the text around the strings."""

    def __init__(self, text: str, strings: Iterator[str], *, start: int) -> None:
        self._text = text
        self._strings = strings
        self._at = start

    def members(self, *, depth: int) -> dict[str, Any]:
        """From an opening bracket to its closing one."""
        closing = _CLOSING[self._text[self._at]]
        self._at += 1
        members: dict[str, Any] = {}
        while not self._skip(closing):
            key = self._key()
            if not (self._skip(":") or self._skip("=")):
                raise _Malformed
            members[key] = self._value(depth)
            self._end_item(closing)
        return members

    def expect_end(self) -> None:
        if self._text[self._at :].strip():
            raise _Malformed

    def _items(self, *, depth: int) -> list[Any]:
        self._at += 1
        items = []
        while not self._skip("]"):
            items.append(self._value(depth))
            self._end_item("]")
        return items

    def _end_item(self, closing: str) -> None:
        if not self._skip(",") and not self._is_next(closing):
            raise _Malformed

    def _key(self) -> str:
        if self._is_next(*_QUOTES):
            return self._quoted()
        return self._match(_KEY).strip()

    def _value(self, depth: int) -> Any:  # noqa: ANN401 - whatever JSON can be
        if depth > MAX_DEPTH:
            raise _Malformed
        if self._is_next("{"):
            return self.members(depth=depth + 1)
        if self._is_next("["):
            return self._items(depth=depth + 1)
        if self._is_next(*_QUOTES):
            return self._quoted()
        return _scalar(self._match(_WORD).strip())

    def _quoted(self) -> str:
        if self._skip(_STRING):
            return next(self._strings)
        if self._skip("'"):
            return self._match(_UNTIL_APOSTROPHE).removesuffix("'")
        try:
            string, end = _JSON.raw_decode(self._text, self._at)
            string.encode()
        except (json.JSONDecodeError, UnicodeEncodeError):
            # the latter for half a surrogate pair, which no message can carry
            raise _Malformed from None
        if _STRING in string:
            raise _Malformed
        self._at = end
        return string

    def _match(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None or _STRING in found[0]:
            raise _Malformed
        self._at = found.end()
        return found[0]

    def _skip(self, sign: str) -> bool:
        there = self._is_next(sign)
        self._at += len(sign) if there else 0
        return there

    def _is_next(self, *signs: str) -> bool:
        """Whether one of `signs` follows the white space here, which is passed."""
        found = _SPACE.match(self._text, self._at)
        assert found is not None, "no white space is white space too"
        self._at = found.end()
        return self._text.startswith(signs, self._at)


def _scalar(word: str) -> Any:  # noqa: ANN401 - whatever JSON can be
    """What a word without quotes says; one that is no number and no literal is a string."""
    if word in _LITERALS:
        return _LITERALS[word]
    if _NUMBER.fullmatch(word) is None:
        return word
    number = float(word)
    if not math.isfinite(number):
        raise _Malformed
    return int(word) if word.lstrip("-").isdecimal() else number
