"""JSON Schemas as regular expressions over JSON text: properties in their order, one space or none
after `:` and `,`, none elsewhere.

What matches always validates. A keyword that would make that untrue is refused by name; so is one
that an expression cannot hold.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from palimpsest.engine.api import MAX_PATTERN
from palimpsest.server.schema_values import (
    PLAIN,
    SchemaError,
    bounds,
    either,
    one_of,
    string_pattern,
)

MAX_DEPTH = 32
_COMMA, _COLON = ", ?", ": ?"
_ANNOTATIONS = frozenset(
    [
        "title",
        "description",
        "default",
        "examples",
        "deprecated",
        "readOnly",
        "writeOnly",
        "$comment",
        "$schema",
        "$id",
    ]
)
_DEFINITIONS = frozenset({"$defs", "definitions"})
_OF_TYPE = {
    "object": {"properties", "required", "additionalProperties"},
    "array": {"items", "minItems", "maxItems"},
    "string": {"minLength", "maxLength", "pattern", "format"},
    "integer": set[str](),
    "number": set[str](),
    "boolean": set[str](),
    "null": set[str](),
}


def schema_pattern(text: str) -> str:
    """Raises SchemaError. `text` is the schema as JSON; the order of properties in it counts."""
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise SchemaError(f"is not JSON: {problem}") from None
    return _Writer(schema).pattern(schema, "$", ())


class _Writer:
    """Writes the patterns of one schema and of what it refers to."""

    def __init__(self, root: object) -> None:
        self._root = root

    def pattern(self, node: object, path: str, inside: tuple[str, ...]) -> str:
        """Of the values of a schema at `path`; `inside` are the references that led there."""
        if not isinstance(node, dict):
            raise SchemaError(f"{path} is {json.dumps(node)}, not an object")
        if path.count(".") + path.count("[") > MAX_DEPTH:
            raise SchemaError(f"{path[:80]}… is more than {MAX_DEPTH} levels deep")
        written = self._pattern(node, path, inside)
        if len(written) > MAX_PATTERN:
            raise SchemaError(f"{path} needs a pattern of more than {MAX_PATTERN} characters")
        return written

    def _pattern(self, node: Mapping[str, Any], path: str, inside: tuple[str, ...]) -> str:
        match node:
            case {"$ref": reference}:
                _only(node, path, {"$ref"})
                return self._reference(reference, path, inside)
            case {"enum": values}:
                _only(node, path, {"enum", "type"})
                return one_of(values, node.get("type"), path)
            case {"const": value}:
                _only(node, path, {"const", "type"})
                return one_of([value], node.get("type"), path)
            case {"anyOf": branches}:
                _only(node, path, {"anyOf"})
                return self._any_of(branches, path, inside)
            case {"type": str(kind)}:
                return self._of_type(node, kind, path, inside)
            case {"type": [*kinds]}:
                allowed = {"type"}.union(*(_OF_TYPE.get(str(kind), ()) for kind in kinds))
                _only(node, path, allowed)
                own = ({**_kept(node, str(kind)), "type": kind} for kind in kinds)
                return either([self._of_type(one, str(one["type"]), path, inside) for one in own])
        _only(node, path, {"type", "enum", "const", "anyOf", "$ref"})
        raise SchemaError(f"{path} says nothing of type, enum, const, anyOf or $ref")

    def _reference(self, reference: object, path: str, inside: tuple[str, ...]) -> str:
        if not isinstance(reference, str) or not reference.startswith("#/"):
            raise SchemaError(f"{path}.$ref {reference!r} does not point into the schema (#/…)")
        if reference in inside:
            raise SchemaError(f"{path}.$ref {reference!r} is recursive, which is not supported")
        node = self._root
        for name in reference[2:].split("/"):
            name = name.replace("~1", "/").replace("~0", "~")
            if not isinstance(node, dict) or name not in node:
                raise SchemaError(f"{path}.$ref {reference!r} points nowhere")
            node = node[name]
        return self.pattern(node, path, (*inside, reference))

    def _any_of(self, branches: object, path: str, inside: tuple[str, ...]) -> str:
        if not isinstance(branches, list) or not branches:
            raise SchemaError(f"{path}.anyOf has no schemas")
        return either(
            [self.pattern(one, f"{path}.anyOf[{i}]", inside) for i, one in enumerate(branches)]
        )

    def _of_type(
        self, node: Mapping[str, Any], kind: str, path: str, inside: tuple[str, ...]
    ) -> str:
        if kind not in _OF_TYPE:
            raise SchemaError(f"{path}.type {kind!r} is no type")
        _only(node, path, {"type", *_OF_TYPE[kind]})
        match kind:
            case "object":
                return self._object(node, path, inside)
            case "array":
                return self._array(node, path, inside)
            case "string":
                return string_pattern(node, path)
            case _:
                return PLAIN[kind]

    def _object(self, node: Mapping[str, Any], path: str, inside: tuple[str, ...]) -> str:
        properties, required = node.get("properties", {}), node.get("required", [])
        if not isinstance(properties, dict) or not isinstance(required, list):
            raise SchemaError(f"{path}: properties is an object and required a list")
        for name in required:
            if not isinstance(name, str) or name not in properties:
                raise SchemaError(f"{path}.required names {name!r}, which is no property")
        if not properties:
            raise SchemaError(f"{path} is an object without properties, which is not supported")
        if not isinstance(node.get("additionalProperties", False), bool):
            raise SchemaError(
                f"keyword 'additionalProperties' of {path} is supported as true or false alone"
            )
        members = [
            (
                re.escape(json.dumps(name, ensure_ascii=False))
                + _COLON
                + self.pattern(schema, f"{path}.{name}", inside),
                name in required,
            )
            for name, schema in properties.items()
        ]
        return r"\{" + _members(members) + r"\}"

    def _array(self, node: Mapping[str, Any], path: str, inside: tuple[str, ...]) -> str:
        if "items" not in node:
            raise SchemaError(f"{path} is an array without items, which is not supported")
        item = self.pattern(node["items"], f"{path}.items", inside)
        least, most = bounds(node, "minItems", "maxItems", path)
        if most == 0:
            return r"\[\]"
        further = f"{{{max(least - 1, 0)},{'' if most is None else most - 1}}}"
        some = f"{item}(?:{_COMMA}{item}){further}"
        return rf"\[{some}\]" if least else rf"\[(?:{some})?\]"


def _members(members: Sequence[tuple[str, bool]]) -> str:
    """Patterns of members, in order, with whether each must be there; commas between them."""
    first = next((i for i, (_, required) in enumerate(members) if required), None)
    if first is None:
        # whichever comes first has no comma before it
        ways = [
            one + "".join(f"(?:{_COMMA}{other})?" for other, _ in members[i + 1 :])
            for i, (one, _) in enumerate(members)
        ]
        return f"(?:{'|'.join(ways)})?"
    before = "".join(f"(?:{one}{_COMMA})?" for one, _ in members[:first])
    after = "".join(
        f"{_COMMA}{one}" if required else f"(?:{_COMMA}{one})?"
        for one, required in members[first + 1 :]
    )
    return before + members[first][0] + after


def _kept(node: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The keywords that say something of one type."""
    return {name: value for name, value in node.items() if name in _OF_TYPE.get(kind, ())}


def _only(node: Mapping[str, Any], path: str, names: set[str]) -> None:
    known = names | _ANNOTATIONS | (_DEFINITIONS if path == "$" else frozenset())
    for name in node:
        if name not in known:
            raise SchemaError(f"keyword {name!r} of {path} is not supported here")
