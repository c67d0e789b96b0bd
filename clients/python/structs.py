"""Between JSON objects of Python and those of the contract, whose numbers are all doubles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.struct_pb2 import Struct, Value

from palimpsest.errors import invalid_field

MAX_EXACT = 2**53
"""Whole numbers up to this are exact in a double."""


def struct(members: object, path: str) -> Struct:
    """A JSON object as a message. Raises InvalidRequest, naming `path`, for anything else."""
    if not isinstance(members, Mapping):
        raise invalid_field(path, f"{members!r} is not an object")
    _refuse_inexact(members, path)
    message = Struct()
    try:
        message.update(members)
    except (TypeError, ValueError) as error:
        raise invalid_field(path, f"{members!r} is not JSON: {error}") from error
    return message


def plain(message: Struct) -> dict[str, Any]:
    """A JSON object as Python has it; whole numbers are ints."""
    return {name: _plain(value) for name, value in message.fields.items()}


def _plain(value: Value) -> Any:  # noqa: ANN401 - whatever JSON can be
    match value.WhichOneof("kind"):
        case "struct_value":
            return plain(value.struct_value)
        case "list_value":
            return [_plain(item) for item in value.list_value.values]
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() and abs(number) <= MAX_EXACT else number
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case _:
            return None


def _refuse_inexact(value: object, path: str) -> None:
    """Numbers that the wire would change are refused; strings carry them."""
    if isinstance(value, int) and abs(value) > MAX_EXACT:
        raise invalid_field(path, f"{value} is above 2^53, so not exact on the wire; send a string")
    if isinstance(value, Mapping):
        for name, item in value.items():
            _refuse_inexact(item, f"{path}.{name}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _refuse_inexact(item, f"{path}[{index}]")
