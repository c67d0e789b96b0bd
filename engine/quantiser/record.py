"""What is known of a quantised checkpoint's making: `quantize.json` beside its files.

It is written anew after every file, so a run that was cut short can go on, and stays as the
account of the errors.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from palimpsest.engine.config import read_json
from palimpsest.engine.errors import CheckpointError
from palimpsest.engine.quantiser.formats import GROUPS

RECORD = "quantize.json"

Layer = tuple[int, str]
"""Its number, and a group of its linear layers."""


@dataclass(slots=True)
class Squares:
    """Sums over weights."""

    error: float = 0.0
    weight: float = 0.0

    def add(self, other: Squares) -> None:
        self.error += other.error
        self.weight += other.weight

    @property
    def relative(self) -> float:
        """Root mean square of the error, relative to that of the weights."""
        return math.sqrt(self.error / self.weight) if self.weight else 0.0


@dataclass(slots=True, kw_only=True)
class Record:
    """Of a run, finished or not."""

    format: str
    source: dict[str, int]
    """Sizes in bytes of the source's files, to know it again."""
    files: dict[str, dict[Layer, Squares]] = field(default_factory=dict)
    """Of the files that are done: their errors."""

    def layers(self) -> dict[Layer, Squares]:
        """Of all files."""
        sums: dict[Layer, Squares] = defaultdict(Squares)
        for errors in self.files.values():
            for layer, squares in errors.items():
                sums[layer].add(squares)
        return dict(sorted(sums.items(), key=lambda item: (item[0][0], GROUPS.index(item[0][1]))))

    def groups(self) -> dict[str, Squares]:
        """Of all layers together."""
        sums: dict[str, Squares] = defaultdict(Squares)
        for (_, group), squares in self.layers().items():
            sums[group].add(squares)
        return dict(sums)

    def save(self, folder: Path) -> None:
        """At once, so that a record is never half there."""
        files = {
            name: [[*layer, squares.error, squares.weight] for layer, squares in errors.items()]
            for name, errors in self.files.items()
        }
        content = {"format": self.format, "source": self.source, "files": files}
        part = folder / (RECORD + ".part")
        part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        part.rename(folder / RECORD)


def read_record(folder: Path) -> Record | None:
    """Of an earlier run into `folder`; None where there was none. Raises CheckpointError."""
    path = folder / RECORD
    if not path.exists():
        return None
    said = read_json(path)
    try:
        return _record(said)
    except (KeyError, TypeError, ValueError, AttributeError) as wrong:
        raise CheckpointError(f"{path}: not written by `palimpsest quantize`: {wrong}") from None


def _record(said: dict[str, Any]) -> Record:
    files = {
        name: {
            (int(number), str(group)): Squares(error, weight)
            for number, group, error, weight in rows
        }
        for name, rows in said["files"].items()
    }
    return Record(format=said["format"], source=dict(said["source"]), files=files)
