"""JSON Lines as they are read from files of other people: what is wrong is refused with file, line
and field. Knows nothing of what the fields mean.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from palimpsest.errors import PalimpsestError

T = TypeVar("T", str, bool, int, list)
SHORT = 60
"""Characters of a value that is shown whole."""
KINDS = {str: "text", bool: "true or false", int: "a whole number", list: "a list"}


class BadInput(PalimpsestError):
    """A suite, an earlier run or a flag of eval or bench that cannot be used as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a file: a JSON object, and where it stands."""

    path: Path
    number: int
    """Counted from 1."""
    fields: Mapping[str, Any]

    def refusal(self, field: str, reason: str) -> BadInput:
        """What to raise about one field."""
        return BadInput(f"{self.path}:{self.number}: {field}: {reason}")

    def get(self, field: str, kind: type[T]) -> T | None:
        """The value of a field; None if absent or null. Raises BadInput if of another kind."""
        value = self.fields.get(field)
        if value is None:
            return None
        # JSON's true is no number, though Python's is.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.refusal(field, f"{shown(value)} is not {KINDS[kind]}")
        return value

    def need(self, field: str, kind: type[T]) -> T:
        """The value of a field. Raises BadInput if absent or of another kind."""
        value = self.get(field, kind)
        if value is None:
            raise self.refusal(field, "is missing")
        return value

    def refuse_unknown(self, known: Collection[str]) -> None:
        """Raises BadInput for a field that is not `known`: a typo must not change a suite."""
        for field in self.fields:
            if field not in known:
                raise self.refusal(field, f"unknown; a line may have {', '.join(known)}")


def read(path: Path) -> list[Line]:
    """The lines of a file, blank ones skipped. Raises BadInput."""
    try:
        # Not splitlines(): JSON text may hold other characters that Python takes for line ends.
        texts = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read: {error}") from error
    lines = [_line(path, number, text) for number, text in enumerate(texts, 1) if text.strip()]
    if not lines:
        raise BadInput(f"{path}: holds no items")
    return lines


def shown(value: object) -> str:
    """A value as JSON, short enough for one line of an error."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHORT else f"{text[: SHORT - 1]}…"


def _line(path: Path, number: int, text: str) -> Line:
    try:
        fields = json.loads(text)
        # Half of a surrogate pair can be written in JSON, and sent nowhere.
        json.dumps(fields, ensure_ascii=False).encode()
    except ValueError as error:
        raise BadInput(f"{path}:{number}: not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise BadInput(f"{path}:{number}: {shown(fields)} is not an object")
    return Line(path=path, number=number, fields=fields)
