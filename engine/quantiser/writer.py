"""A safetensors file whose tensors are written one by one, each to its place: nothing but the
tensor at hand is in memory.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor

from palimpsest.engine.headers import Entry, header_bytes

UNFINISHED = ".part"
"""Added to a file's name until all of it is written."""


class Writer:
    """Has the file under its name when its `with` block ends well, and not before."""

    def __init__(self, path: Path, entries: Mapping[str, Entry]) -> None:
        self.path, self.entries = path, entries
        self._unfinished = path.with_name(path.name + UNFINISHED)
        head = header_bytes(entries, {"format": "pt"})
        self._starts: dict[str, int] = {}
        at = len(head)
        for name, entry in entries.items():
            self._starts[name] = at
            at += entry.num_bytes
        self._file = self._unfinished.open("wb")
        self._file.write(head)
        self._file.truncate(at)
        self._left = set(entries)

    def write(self, name: str, tensor: Tensor) -> None:
        """Raises AssertionError for a tensor that is not what the header says."""
        data = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data
        assert len(data) == self.entries[name].num_bytes, name
        self._file.seek(self._starts[name])
        self._file.write(data)
        self._left.remove(name)

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            assert not self._left, f"{len(self._left)} tensors were not written"
            self._file.flush()
            os.fsync(self._file.fileno())
        self._file.close()
        if kind is None:
            self._unfinished.rename(self.path)
