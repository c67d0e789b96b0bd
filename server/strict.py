"""Nothing in a request is silently ignored: every set field is either acted on or refused by name.

Works on any message by its descriptor; which fields are acted on is the caller's table.
"""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from palimpsest.engine.api import InvalidRequest, Unsupported


def refuse_unsupported(message: Message, supported: frozenset[str]) -> None:
    """Walk all set fields of `message`; `supported` holds paths of leaves, as `prompt.parts.text`.

    Raises InvalidRequest for a field that the contract does not know, by message and field number,
    and Unsupported for one that it knows and the table does not.
    """
    _check(message, supported, shown="", path="")


def _check(message: Message, supported: frozenset[str], *, shown: str, path: str) -> None:
    """`shown` is where we are with indices, for people; `path` the same without, for the table."""
    for unknown in UnknownFieldSet(message):
        kind = message.DESCRIPTOR.full_name
        raise InvalidRequest(
            shown.rstrip(".") or kind, f"{kind} has no field number {unknown.field_number}"
        )
    for field, value in message.ListFields():
        field_path = f"{path}{field.name}"
        for place, item in _messages(field, value):
            _check(item, supported, shown=f"{shown}{place}.", path=f"{field_path}.")
        if not _leads_to(field_path, supported):
            raise Unsupported(f"{shown}{field.name}")


def _messages(field: FieldDescriptor, value: object) -> Iterator[tuple[str, Message]]:
    """The messages of ours in a field's value, each with its name or its name and index."""
    kind = field.message_type
    if kind is None or kind.GetOptions().map_entry or not _is_ours(kind.full_name):
        return
    if isinstance(value, Message):
        yield field.name, value
        return
    for index, item in enumerate(value):  # type: ignore[arg-type]
        yield f"{field.name}[{index}]", item


def _is_ours(full_name: str) -> bool:
    return full_name.startswith("palimpsest.")


def _leads_to(path: str, supported: frozenset[str]) -> bool:
    return path in supported or any(leaf.startswith(f"{path}.") for leaf in supported)
