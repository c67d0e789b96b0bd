"""Which tensors each file of the new checkpoint holds, known before anything is read.

Every file of the source becomes one file, so a run that was cut short goes on with the first file
that is not there yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from palimpsest.engine.errors import CheckpointError
from palimpsest.engine.headers import ITEM_BYTES, SINGLE, Entry
from palimpsest.engine.quantised.places import DECODER
from palimpsest.engine.quantised.scheme import Misplaced
from palimpsest.engine.quantiser.formats import Format
from palimpsest.engine.quantiser.source import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One file to be."""

    name: str
    source: Path
    entries: Mapping[str, Entry]
    """Its tensors in their order in the file: wide numbers first, so that each begins at a multiple
    of its size.
    """
    linears: tuple[str, ...]
    """Linear layers that are quantised."""
    kept: Mapping[str, str]
    """Tensors that stay as they are: their names there, by those in the new file."""
    expanded: tuple[str, ...]
    """Linear layers that this format keeps in BF16 and the source has in other tensors."""


def outputs(source: Source, format: Format) -> list[Output]:
    """All files, in the source's order. Raises CheckpointError for sizes that the format has no
    place for.
    """
    try:
        return [_output(source, format, index) for index in range(len(source.files))]
    except Misplaced as wrong:
        raise CheckpointError(f"{source.folder}: {wrong}") from None


def _output(source: Source, format: Format, index: int) -> Output:
    path = source.files[index]
    entries: dict[str, Entry] = {}
    linears: list[str] = []
    kept: dict[str, str] = {}
    expanded: list[str] = []
    for piece in source.pieces:
        held, names = source.linears(piece), list(piece.parts.values())
        if source.file_of[names[0]] != path:
            continue
        if held and format.codec(held[0]) is not None:
            linears += held
        elif piece.scheme is not None or piece.place.expert is not None:
            expanded += held
        else:
            kept[names[0]] = names[0]
    for linear in linears:
        codec = format.codec(linear)
        assert codec is not None
        for last, part in codec.parts(*source.places[linear].shape).items():
            entries[f"{DECODER}{linear}.{last}"] = Entry(dtype=part.dtypes[0], shape=part.shape)
    for linear in expanded:
        shape = source.places[linear].shape
        entries[f"{DECODER}{linear}.weight"] = Entry(dtype="BF16", shape=shape)
    entries |= {new: source.entries[old] for new, old in kept.items()}
    return Output(
        name=_name(index, len(source.files)),
        source=path,
        entries=dict(sorted(entries.items(), key=_wide_first)),
        linears=tuple(linears),
        kept=kept,
        expanded=tuple(expanded),
    )


def _name(index: int, count: int) -> str:
    return SINGLE if count == 1 else f"model-{index + 1:05}-of-{count:05}.safetensors"


def _wide_first(item: tuple[str, Entry]) -> tuple[int, str]:
    name, entry = item
    return -ITEM_BYTES.get(entry.dtype, 1), name
