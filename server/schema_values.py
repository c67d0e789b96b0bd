"""Patterns of JSON values that hold no others: strings, numbers, and values written out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from palimpsest.engine.api import PatternError, compile_pattern

MAX_ITEMS = 1_024
"""What minItems, maxItems, minLength and maxLength may be at most."""

_CHARACTER = r'(?:[^"\\\x00-\x1f]|\\["\\/bfnrt])'
_INTEGER = r"-?(?:0|[1-9][0-9]{0,17})"
_NUMBER = rf"{_INTEGER}(?:\.[0-9]{{1,18}})?(?:[eE][+-]?[0-9]{{1,2}})?"
_DAY = (
    r"(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)"
    r"|(?:0[13578]|1[02])-31)"
)
_DATE = rf"[0-9]{{4}}-{_DAY}"
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?(?:Z|[+-](?:0[0-9]|1[0-2]):00)"
_FORMATS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": rf"{_DATE}T{_TIME}",
    "uuid": r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
}
PLAIN = {"integer": _INTEGER, "number": _NUMBER, "boolean": "(?:true|false)", "null": "null"}
_VALUES = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


class SchemaError(ValueError):
    """What of a schema is refused, and where, in one line."""


def string_pattern(node: Mapping[str, Any], path: str) -> str:
    limits = {"minLength", "maxLength"} & node.keys()
    if len({"pattern", "format"} & node.keys()) + bool(limits) > 1:
        raise SchemaError(f"{path} has more than one of pattern, format and a length")
    if "pattern" in node:
        return f'"(?:{_inner(node["pattern"], path)})"'
    if "format" in node:
        wanted = node["format"]
        if not isinstance(wanted, str) or wanted not in _FORMATS:
            raise SchemaError(f"{path}.format {wanted!r} is none of {', '.join(_FORMATS)}")
        return f'"{_FORMATS[wanted]}"'
    least, most = bounds(node, "minLength", "maxLength", path)
    return f'"{_CHARACTER}{{{least},{"" if most is None else most}}}"'


def _inner(pattern: object, path: str) -> str:
    """A string's own pattern, if all that it matches can stand in JSON as it is."""
    if not isinstance(pattern, str) or not (pattern.startswith("^") and pattern.endswith("$")):
        raise SchemaError(f"{path}.pattern {pattern!r} is not anchored by ^ and $")
    inner = pattern[1:-1]
    try:
        automaton = compile_pattern(inner)
    except PatternError as problem:
        raise SchemaError(f"{path}.pattern {pattern!r}: {problem}") from None
    escaped = [*range(0x20), *b'"\\']
    if (automaton.transitions[:, escaped] < automaton.size).any():
        raise SchemaError(
            f"{path}.pattern {pattern!r} matches quotes, backslashes or control characters, which "
            "JSON writes differently"
        )
    return inner


def bounds(node: Mapping[str, Any], least: str, most: str, path: str) -> tuple[int, int | None]:
    for name in (least, most):
        value = node.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_ITEMS:
            raise SchemaError(f"{path}.{name} {value!r} is outside 0 to {MAX_ITEMS}")
    if most in node and node[most] < node.get(least, 0):
        raise SchemaError(f"{path}.{most} {node[most]} is below {least} {node[least]}")
    return node.get(least, 0), node.get(most)


def one_of(values: object, kind: object, path: str) -> str:
    if not isinstance(values, list) or not values:
        raise SchemaError(f"{path}.enum has no values")
    kinds = kind if isinstance(kind, list) else [kind]
    for value in values:
        if kind is not None and not any(_is_a(value, one, path) for one in kinds):
            raise SchemaError(f"{path}: {json.dumps(value)} is not of type {json.dumps(kind)}")
    try:
        written = [json.dumps(value, ensure_ascii=False, allow_nan=False) for value in values]
    except ValueError as wrong:  # 1e999 is read as infinite
        raise SchemaError(f"{path}: {wrong}") from None
    return either(list(map(re.escape, written)))


def _is_a(value: object, kind: object, path: str) -> bool:
    if not isinstance(kind, str) or kind not in _VALUES:
        raise SchemaError(f"{path}.type {kind!r} is no type")
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _VALUES[kind])


def either(patterns: Sequence[str]) -> str:
    return f"(?:{'|'.join(patterns)})"
