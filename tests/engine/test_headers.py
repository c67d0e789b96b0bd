"""Headers of safetensors files, beside what the library makes of the same files."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from palimpsest.engine.errors import CheckpointError
from palimpsest.engine.headers import Entry, header_bytes, read_header

TENSORS = {
    "a": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "b": torch.ones(5, dtype=torch.bfloat16),
    "c": torch.arange(3, dtype=torch.uint8),
    "d": torch.tensor(2.5),
}
ENTRIES = {
    "a": Entry(dtype="F32", shape=(2, 3)),
    "d": Entry(dtype="F32", shape=()),
    "b": Entry(dtype="BF16", shape=(5,)),
    "c": Entry(dtype="U8", shape=(3,)),
}


def test_a_file_of_the_library_is_read(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "x.safetensors", metadata={"format": "pt"})
    assert read_header(tmp_path / "x.safetensors") == ENTRIES


def test_the_library_reads_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    data = b"".join(
        TENSORS[name].reshape(-1).view(torch.uint8).numpy().tobytes() for name in ENTRIES
    )
    path.write_bytes(header_bytes(ENTRIES, {"format": "pt"}) + data)
    found = load_file(path)
    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in TENSORS.items())


def head(header: object) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234567",
        b"PK\x03\x04 this is a zip file, or pretends to be one",
        head([1]),
        head({"a": 3}),
        head({"a": {"dtype": "U8", "shape": [3], "data_offsets": [0, 3]}}) + b"12",
        head({"a": {"dtype": "U8", "shape": [3], "data_offsets": [0, 3]}}) + b"1234",
        head({"a": {"dtype": "U8", "shape": "no", "data_offsets": [0, 3]}}) + b"123",
    ],
)
def test_what_is_damaged_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as refusal:
        read_header(path)
    assert str(refusal.value).startswith(f"{path}: damaged, truncated or not safetensors: ")
