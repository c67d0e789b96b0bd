"""JSON Schemas as patterns: what matches validates, and what cannot be kept is refused by name."""

from __future__ import annotations

import json
import re
from random import Random
from typing import Any

import jsonschema
import numpy as np
import pytest
from schemas import ALL

from palimpsest.engine.api import Automaton, compile_pattern
from palimpsest.server.schemas import SchemaError, schema_pattern


def random_text(automaton: Automaton, random: Random) -> str:
    """A walk through the automaton, which at times ends where it may."""
    text, state = b"", automaton.start
    while True:
        ways = np.flatnonzero(automaton.transitions[state] < automaton.size)
        may_end = bool(automaton.accepting[state])
        if may_end and (not len(ways) or random.random() < 0.2):
            return text.decode()
        byte = int(random.choice(ways))
        text += bytes([byte])
        state = int(automaton.transitions[state, byte])


@pytest.mark.parametrize("schema", ALL.values(), ids=ALL)
def test_whatever_matches_is_json_that_validates(schema: dict[str, Any]) -> None:
    random = Random(0)
    automaton = compile_pattern(schema_pattern(json.dumps(schema)))
    checker = jsonschema.FormatChecker(["date", "uuid"])
    for _ in range(100):
        value = json.loads(random_text(automaton, random))
        jsonschema.validate(value, schema, format_checker=checker)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (ALL["person"], {"name": 'ada "the" first\n', "age": -36}),
        (ALL["all optional"], {}),
        (ALL["all optional"], {"b": "x"}),
        (ALL["all optional"], {"a": 1, "c": None}),
        (ALL["numbers"], [1, 2, 3, 4, 5]),
        (ALL["nested"], {"user": {"name": "ü", "tags": []}, "admin": True}),
        (ALL["either"], "abcd"),
        (ALL["nullable"], {"value": None}),
        (ALL["date"], {"day": "2024-01-31"}),
        ({"type": "array", "items": {"type": "null"}, "maxItems": 0}, []),
        ({"type": "number"}, -1.5e-07),
    ],
)
@pytest.mark.parametrize("separators", [(", ", ": "), (",", ":")])
def test_usual_json_matches(
    schema: dict[str, Any], value: object, separators: tuple[str, str]
) -> None:
    text = json.dumps(value, ensure_ascii=False, separators=separators)
    assert re.fullmatch(schema_pattern(json.dumps(schema)), text)


def test_properties_are_written_in_the_order_of_the_schema() -> None:
    schema = {"properties": {"z": {"type": "null"}, "a": {"type": "null"}}, "required": ["a"]}
    pattern = schema_pattern(json.dumps({"type": "object", **schema}))
    assert re.fullmatch(pattern, '{"z": null, "a": null}')
    assert not re.fullmatch(pattern, '{"a": null, "z": null}')


NULL = {"type": "null"}
LOOP = {"type": "object", "properties": {"next": {"$ref": "#/$defs/loop"}}}


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "integer", "minimum": 3}, r"'minimum' of \$ is not supported"),
        ({"type": "array", "items": NULL, "uniqueItems": True}, "'uniqueItems'"),
        ({"oneOf": [NULL]}, "'oneOf'"),
        ({"allOf": [NULL]}, "'allOf'"),
        ({"not": NULL}, "'not'"),
        ({"type": "object", "properties": {"a": NULL}, "minProperties": 1}, "'minProperties'"),
        ({"type": "string", "minItems": 1}, "'minItems'"),
        ({"anyOf": [NULL], "type": "string"}, "'type'"),
        ({}, "says nothing"),
        (True, "is true, not an object"),
        ({"type": "object"}, "without properties"),
        ({"type": "array"}, "without items"),
        ({"type": "object", "properties": {"a": NULL}, "required": ["b"]}, "'b', which is no"),
        ({"type": "object", "properties": {"a": {"type": "text"}}}, r"\$\.a\.type 'text'"),
        (
            {"type": "object", "properties": {"a": NULL}, "additionalProperties": NULL},
            "'additionalProperties'",
        ),
        ({"type": "string", "pattern": "a+"}, "not anchored"),
        ({"type": "string", "pattern": "^.*$"}, "quotes"),
        ({"type": "string", "pattern": r"^(?=a)b$"}, "assert"),
        ({"type": "string", "format": "email"}, "'email' is none of"),
        ({"type": "string", "format": "date", "maxLength": 3}, "more than one"),
        ({"type": "string", "minLength": -1}, "minLength -1 is outside 0"),
        ({"type": "string", "minLength": 3, "maxLength": 2}, "maxLength 2 is below minLength 3"),
        ({"type": "integer", "enum": [1, "a"]}, '"a" is not of type "integer"'),
        ({"type": "integer", "const": True}, 'true is not of type "integer"'),
        ({"enum": []}, "no values"),
        ({"const": float("inf")}, "not JSON compliant"),
        ({"type": "string", "format": {}}, r"format \{\} is none of"),
        ({"type": {"type": "boolean"}, "const": 1}, r"\$\.type \{'type': 'boolean'\}"),
        (
            {"type": "object", "properties": {"a": NULL}, "required": [["a"]]},
            r"\['a'\], which is no property",
        ),
        ({"anyOf": []}, "no schemas"),
        ({"$ref": "other.json"}, "does not point into"),
        ({"$ref": "#/$defs/no"}, "points nowhere"),
        ({"$ref": "#/$defs/loop", "$defs": {"loop": LOOP}}, "recursive"),
        ({"type": "object", "properties": {"a": {"$defs": {}, **NULL}}}, "'\\$defs'"),
    ],
)
def test_a_schema_that_cannot_be_kept_is_refused_by_name(schema: object, reason: str) -> None:
    with pytest.raises(SchemaError, match=reason):
        schema_pattern(json.dumps(schema))


def test_a_schema_that_grows_with_each_reference_is_refused_before_it_is_written() -> None:
    pair = {"type": "array", "minItems": 2, "maxItems": 2}
    definitions: dict[str, object] = {"a0": NULL}
    for i in range(30):
        definitions[f"a{i + 1}"] = {**pair, "items": {"$ref": f"#/$defs/a{i}"}}
    with pytest.raises(SchemaError, match="characters"):
        schema_pattern(json.dumps({"$ref": "#/$defs/a30", "$defs": definitions}))


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000])
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(SchemaError, match="is not JSON"):
        schema_pattern(text)
