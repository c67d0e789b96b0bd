"""The checkpoint that is quantised, one linear layer at a time."""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from palimpsest.engine.config import ModelConfig
from palimpsest.engine.headers import Entry, damaged, read_header, weight_files
from palimpsest.engine.quantised.places import Place, linear_places
from palimpsest.engine.quantised.plan import Piece
from palimpsest.engine.weights import pieces_of, shapes_of


class Source:
    """Files that are open as long as its `with` block. Raises CheckpointError."""

    def __init__(self, folder: Path, config: ModelConfig) -> None:
        self.folder, self.config = folder, config
        self.files = weight_files(folder)
        self.entries: dict[str, Entry] = {}
        self.file_of: dict[str, Path] = {}
        for path in self.files:
            header = read_header(path)
            self.entries |= header
            self.file_of |= dict.fromkeys(header, path)
        self.pieces = pieces_of(folder, config)
        self.places = linear_places(shapes_of(config))
        self.linears_of, self.piece_of = _linears(self.pieces, self.places)
        self._stack = ExitStack()
        self._open: dict[Path, Any] = {}

    def weight(self, linear: str) -> Tensor:
        """Of one linear layer, [rows, columns] in fp32; nothing else is read."""
        piece, place = self.piece_of[linear], self.places[linear]
        if piece.scheme is not None:
            parts = {last: self.tensor(name) for last, name in piece.parts.items()}
            return piece.scheme.decode(parts)
        (name,) = piece.parts.values()
        if piece.place.index == place.index:
            return self.tensor(name).float()
        return self._file(name).get_slice(name)[place.index].float()

    def tensor(self, name: str) -> Tensor:
        """A tensor as it is in the files."""
        return self._file(name).get_tensor(name)

    def close_files(self) -> None:
        """Gives back the memory of what was read."""
        self._stack.close()
        self._open.clear()

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close_files()

    def _file(self, name: str) -> Any:  # noqa: ANN401 - safetensors has no type for an open file
        path = self.file_of[name]
        if path not in self._open:
            try:
                file = self._stack.enter_context(safe_open(str(path), framework="pt"))
            except (SafetensorError, OSError) as wrong:
                raise damaged(path, wrong) from None
            self._open[path] = file
        return self._open[path]


def _linears(
    pieces: list[Piece], places: dict[str, Place]
) -> tuple[list[list[str]], dict[str, Piece]]:
    """The linear layers that each of the pieces is or holds, and the piece of each linear layer."""
    of_tensor: dict[str, list[str]] = defaultdict(list)
    named = {_key(place): linear for linear, place in places.items()}
    for linear, place in places.items():
        of_tensor[place.own].append(linear)
    held = [
        [named[_key(piece.place)]] if piece.place.index else of_tensor[piece.place.own]
        for piece in pieces
    ]
    return held, {linear: p for p, linears in zip(pieces, held, strict=True) for linear in linears}


def _key(place: Place) -> tuple[str, str]:
    # slices cannot be keys themselves
    return place.own, str(place.index)
