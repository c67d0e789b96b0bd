"""Between JSON objects of Python and those of the contract, whose numbers are all doubles."""

from __future__ import annotations

import math
from typing import Any

from google.protobuf.struct_pb2 import Struct, Value

from palimpsest.engine.api import InvalidRequest
from palimpsest.server.prompts import Json

MAX_EXACT = 2**53
"""Whole numbers up to this are exact in a double."""


def struct(members: Json) -> Struct:
    """A JSON object as a message."""
    message = Struct()
    message.update(members)
    return message


def plain(message: Struct, path: str) -> dict[str, Any]:
    """A JSON object as Python has it; whole numbers are ints.

    Raises InvalidRequest for what JSON does not have; `path` is the field of `message`.
    """
    return {name: _plain(value, f"{path}.{name}") for name, value in message.fields.items()}


def _plain(value: Value, path: str) -> Any:  # noqa: ANN401 - whatever JSON can be
    match value.WhichOneof("kind"):
        case "struct_value":
            return plain(value.struct_value, path)
        case "list_value":
            values = enumerate(value.list_value.values)
            return [_plain(item, f"{path}[{index}]") for index, item in values]
        case "number_value":
            return _number(value.number_value, path)
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "null_value":
            return None
        case _:
            raise InvalidRequest(path, "is empty: set a kind of value")


def _number(number: float, path: str) -> float | int:
    if not math.isfinite(number):
        raise InvalidRequest(path, f"{number} is not a number of JSON")
    return int(number) if number.is_integer() and abs(number) <= MAX_EXACT else number
