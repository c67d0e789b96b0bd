"""JSON objects as people write them: what is wrong is refused with field, value and bound."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SHORT = 60
"""Characters of a value that is shown whole."""


class BadInput(ValueError):
    """A file or a flag that cannot be used as it is."""


@dataclass(frozen=True, slots=True)
class Fields:
    """A JSON object, and where it stands: a file, or a file and the path of a field."""

    where: str
    values: Mapping[str, Any]

    def refuse_unknown(self, known: Collection[str]) -> None:
        """Raises BadInput for a field that is not `known`: a typo must not change a run."""
        for name in self.values:
            if name not in known:
                raise self.refusal(name, f"is unknown; there may be {', '.join(known)}")

    def refusal(self, name: str, reason: str) -> BadInput:
        """What to raise about one field."""
        return BadInput(f"{self.where}: {name}: {reason}")

    def get(self, name: str) -> Any:  # noqa: ANN401 - JSON
        """The value of a field. Raises BadInput if it is absent."""
        if name not in self.values:
            raise self.refusal(name, "is missing")
        return self.values[name]

    def text(self, name: str, default: str | None = None) -> str:
        """A text with something in it. Without a default the field has to be there."""
        value = self.get(name) if default is None else self.values.get(name, default)
        if not isinstance(value, str) or not value:
            raise self.refusal(name, f"{shown(value)} is not a text of one character or more")
        return value

    def count(self, name: str, low: int, high: int, default: int | None = None) -> int:
        """A whole number from `low` to `high`. Without a default the field has to be there."""
        value = self.get(name) if default is None else self.values.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.refusal(name, f"{shown(value)} is not a whole number from {low} to {high}")
        return value

    def positive(self, name: str) -> float:
        """A finite number above 0."""
        value = self.get(name)
        if not is_number(value) or value <= 0:
            raise self.refusal(name, f"{shown(value)} is not a number above 0")
        return value

    def object(self, name: str) -> Fields:
        """An object inside this one."""
        value = self.get(name)
        if not isinstance(value, dict):
            raise self.refusal(name, f"{shown(value)} is not an object")
        return Fields(f"{self.where}: {name}", value)

    def list(self, name: str) -> list[Any]:
        """A list that is not empty."""
        value = self.get(name)
        if not isinstance(value, list) or not value:
            raise self.refusal(name, f"{shown(value)} is not a list with something in it")
        return value


def read(path: Path) -> Fields:
    """The object that a file holds. Raises BadInput."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise BadInput(f"{path}: cannot be read: {problem.strerror}") from None
    except ValueError as problem:
        raise BadInput(f"{path}: not JSON: {problem}") from None
    if not isinstance(value, dict):
        raise BadInput(f"{path}: {shown(value)} is not an object")
    return Fields(str(path), value)


def is_number(value: object) -> bool:
    """Whether it is a finite number; JSON's true is none, though Python's is."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def shown(value: object) -> str:
    """A value as JSON, short enough for one line of an error."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 1]}…"
