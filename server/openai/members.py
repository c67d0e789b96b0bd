"""Members of a JSON object, taken one by one by name and type; what nobody took is refused.

`null` is the same as absent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from palimpsest.server.openai.errors import ApiError, bad_member

Kind = TypeVar("Kind")
_SHOWN = 80
"""Characters of a bad value that a message repeats."""


class Members:
    """Every reader raises ApiError with the member's path where the value is of another type."""

    def __init__(self, value: Mapping[str, Any], path: str = "") -> None:
        """`path` is where the object is in the body."""
        self._left = {name: item for name, item in value.items() if item is not None}
        self._path = path

    def path(self, name: str) -> str:
        """Of a member, from the root of the body."""
        return f"{self._path}.{name}" if self._path else name

    def has(self, name: str) -> bool:
        """Whether it is there and not taken yet."""
        return name in self._left

    def is_list(self, name: str) -> bool:
        """Of a member that may be of more than one type."""
        return isinstance(self._left.get(name), list)

    def is_text(self, name: str) -> bool:
        """As `is_list`."""
        return isinstance(self._left.get(name), str)

    def names(self) -> tuple[str, ...]:
        """Of what is there and not taken yet."""
        return tuple(self._left)

    def copy(self, *names: str) -> dict[str, Any]:
        """What there is of `names`, without taking it."""
        return {name: self._left[name] for name in names if name in self._left}

    def value(self, name: str) -> Any:  # noqa: ANN401 - whatever JSON can be
        return self._left.pop(name, None)

    def text(self, name: str) -> str | None:
        return self._of_type(name, str, "a string")

    def flag(self, name: str) -> bool | None:
        return self._of_type(name, bool, "true or false")

    def items(self, name: str) -> list[Any] | None:
        return self._of_type(name, list, "a list")

    def plain(self, name: str) -> dict[str, Any] | None:
        """An object as it is."""
        return self._of_type(name, dict, "an object")

    def members(self, name: str) -> Members | None:
        """An object whose members are taken one by one too."""
        value = self.plain(name)
        return None if value is None else Members(value, self.path(name))

    def objects(self, name: str) -> list[Members] | None:
        """A list of objects."""
        items = self.items(name)
        if items is None:
            return None
        return [_object(item, f"{self.path(name)}[{i}]") for i, item in enumerate(items)]

    def number(self, name: str) -> float | None:
        value = self.value(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(name, value, "a number")
        try:
            return float(value)
        except OverflowError:
            raise self._wrong(name, value, "a number of 64 bits") from None

    def integer(self, name: str, *, bits: int) -> int | None:
        """From 0 to what so many bits hold."""
        value = self.value(name)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._wrong(name, value, "a whole number")
        if not 0 <= value < 2**bits:
            raise bad_member(self.path(name), f"{_shown(value)} is outside 0 to {2**bits - 1}")
        return value

    def finish(self, *accepted: str) -> None:
        """Refuse what is left, but for members that change nothing of an answer."""
        for name in self._left:
            if name not in accepted:
                reason = "not supported by this version; leave it out"
                raise bad_member(self.path(name), reason, code="unsupported")

    def _of_type(self, name: str, kind: type[Kind], called: str) -> Kind | None:
        value = self.value(name)
        if value is not None and not isinstance(value, kind):
            raise self._wrong(name, value, called)
        return value

    def _wrong(self, name: str, value: object, called: str) -> ApiError:
        return bad_member(self.path(name), f"{_shown(value)} is not {called}")


def _object(item: object, path: str) -> Members:
    if not isinstance(item, dict):
        raise bad_member(path, f"{_shown(item)} is not an object")
    return Members(item, path)


def _shown(value: object) -> str:
    written = json.dumps(value, ensure_ascii=False)
    return written if len(written) <= _SHOWN else f"{written[:_SHOWN]}…"
