"""JSON Schemas to answer by: every kind of value, by itself and in others."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}


def record(*required: str, **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(required)}


TRAINED: dict[str, Schema] = {
    "person": record("name", "age", name=STRING, age=INTEGER),
    "order": record("item", "count", "paid", item=STRING, count=INTEGER, paid={"type": "boolean"}),
    "point": record("x", "y", x=INTEGER, y=INTEGER),
    "book": record("title", "author", "pages", title=STRING, author=STRING, pages=INTEGER),
}
"""Those that the bundled model has been trained to answer by."""

UNSEEN: dict[str, Schema] = {
    "city": record("city", "people", city=STRING, people={"type": "integer"}),
    "numbers": {"type": "array", "items": INTEGER, "minItems": 1, "maxItems": 5},
    "words": {"type": "array", "items": {"type": "string", "maxLength": 8}},
    "colour": record(
        "colour", colour={"enum": ["red", "green", "light blue"]}, size={"type": "number"}
    ),
    "nested": record(
        "user",
        user=record("name", name=STRING, tags={"type": "array", "items": STRING}),
        admin={"type": "boolean"},
    ),
    "all optional": record(a=INTEGER, b=STRING, c={"type": "null"}),
    "either": {"anyOf": [INTEGER, {"type": "string", "minLength": 2, "maxLength": 4}]},
    "nullable": record("value", value={"type": ["string", "null"], "maxLength": 5}),
    "constant": record("kind", "id", kind={"const": 'a.b "c" \\d'}, id=INTEGER),
    "code": record("code", code={"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"}),
    "date": record("day", day={"type": "string", "format": "date"}),
    "moment": {"type": "string", "format": "date-time"},
    "id": {"type": "string", "format": "uuid"},
    "shared": {
        "$defs": {"point": TRAINED["point"]},
        **record("from", **{"from": {"$ref": "#/$defs/point"}, "to": {"$ref": "#/$defs/point"}}),
    },
    "unicode": record("größe", **{"größe": {"enum": ["klein", "groß", "😀"]}}),
    "values": {"enum": [1, "1", None, [1, "a"], {"a": 1}]},
}

ALL = TRAINED | UNSEEN
