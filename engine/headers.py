"""What safetensors files hold, from their headers alone: names, dtypes, shapes and places of bytes.

Layout (github.com/huggingface/safetensors, README): eight bytes with the length of the header,
little-endian; the header, a JSON object; then the bytes of all tensors without gaps. Knows no
torch.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palimpsest.engine.config import read_json
from palimpsest.engine.errors import CheckpointError

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
ITEM_BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2}
"""Of the dtypes that take more than one byte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One tensor of a file."""

    dtype: str
    """As the format spells it, such as BF16 or F8_E4M3."""
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def num_bytes(self) -> int:
        return self.elements * ITEM_BYTES.get(self.dtype, 1)


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint. Raises CheckpointError when one is missing."""
    index = folder / INDEX
    if index.exists():
        weight_map = read_json(index).get("weight_map")
        names = set(weight_map.values()) if isinstance(weight_map, dict) else set()
        if not names or not all(isinstance(name, str) for name in names):
            raise CheckpointError(f"{index}: weight_map does not name files")
        files = [folder / name for name in sorted(names)]
    else:
        files = [folder / SINGLE]
    for path in files:
        if not path.is_file():
            raise CheckpointError(f"{path}: no such file")
    return files


def read_headers(paths: Iterable[Path]) -> dict[str, Entry]:
    """All tensors of these files. Raises CheckpointError naming the file that is damaged."""
    entries: dict[str, Entry] = {}
    for path in paths:
        entries |= read_header(path)
    return entries


def read_header(path: Path) -> dict[str, Entry]:
    """The tensors of one file in the order of its header. Raises CheckpointError."""
    try:
        header, start = _header(path)
        entries = {
            name: Entry(dtype=str(tensor["dtype"]), shape=tuple(map(int, tensor["shape"])))
            for name, tensor in header.items()
        }
        end = max((int(tensor["data_offsets"][1]) for tensor in header.values()), default=0)
    except (OSError, ValueError, KeyError, TypeError, IndexError, struct.error) as wrong:
        raise damaged(path, wrong) from None
    if path.stat().st_size != start + end:
        raise damaged(path, f"{path.stat().st_size} bytes, its header asks for {start + end}")
    return entries


def damaged(path: Path, wrong: object) -> CheckpointError:
    """The refusal of a file that cannot be read."""
    return CheckpointError(f"{path}: damaged, truncated or not safetensors: {wrong}")


def header_bytes(tensors: Mapping[str, Entry], metadata: Mapping[str, str]) -> bytes:
    """The head of a file whose tensors follow in the order of `tensors`."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    at = 0
    for name, entry in tensors.items():
        offsets = [at, at + entry.num_bytes]
        header[name] = {"dtype": entry.dtype, "shape": list(entry.shape), "data_offsets": offsets}
        at = offsets[1]
    text = json.dumps(header, separators=(",", ":")).encode()
    # tensors begin at a multiple of eight bytes
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """What the header says of tensors, and where their bytes begin."""
    size = path.stat().st_size
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > size:
            raise ValueError(f"a header of {length} bytes in a file of {size}")
        header = json.loads(file.read(length))
    if not isinstance(header, dict):
        raise TypeError(f"its header is a {type(header).__name__}, not an object")
    header.pop("__metadata__", None)
    return header, 8 + length
