"""What `response_format` of the type `json_object` allows: any JSON object, as an expression."""

from __future__ import annotations

from palimpsest.server.schema_values import PLAIN, string_pattern

_LEVELS = 3
"""Objects in objects in an object: more of them need more states than an expression may have."""
_COMMA, _COLON = ", ?", ": ?"


def _object(value: str) -> str:
    member = f"{string_pattern({}, '$')}{_COLON}(?:{value})"
    return rf"\{{(?:{member}(?:{_COMMA}{member})*)?\}}"


def _array(value: str) -> str:
    return rf"\[(?:(?:{value})(?:{_COMMA}(?:{value}))*)?\]"


def _any_object(levels: int) -> str:
    scalar = "|".join([string_pattern({}, "$"), *(PLAIN[k] for k in ("number", "boolean", "null"))])
    value = scalar
    for _ in range(levels - 1):
        value = f"{scalar}|{_object(value)}|{_array(value)}"
    return _object(value)


ANY_OBJECT = _any_object(_LEVELS)
