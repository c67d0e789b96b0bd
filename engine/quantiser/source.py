"""The checkpoint that is quantised, one linear layer at a time."""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from palimpsest.engine.config import ModelConfig
from palimpsest.engine.headers import damaged, read_header
from palimpsest.engine.quantised.places import Place, linear_places
from palimpsest.engine.quantised.plan import Piece
from palimpsest.engine.weights import contents_of, shapes_of


class Source:
    """Files that are open as long as its `with` block, read with the gates and up projections of
    experts `joined` or not, however they are stored. Raises CheckpointError.
    """

    def __init__(self, folder: Path, config: ModelConfig, *, joined: bool) -> None:
        contents = contents_of(folder, config)
        self.folder, self.config = folder, contents.config
        self.files, self.entries, self.pieces = contents.files, contents.entries, contents.pieces
        self.file_of = {name: path for path in self.files for name in read_header(path)}
        self.places = linear_places(shapes_of(contents.config), joined=joined)
        self._linears: dict[str, list[str]] = defaultdict(list)
        for linear, place in self.places.items():
            self._linears[place.own].append(linear)
        self._pieces: dict[tuple[str, int | None], list[Piece]] = defaultdict(list)
        for piece in self.pieces:
            self._pieces[piece.place.own, piece.place.expert].append(piece)
        self._stack = ExitStack()
        self._open: dict[Path, Any] = {}

    def weight(self, linear: str) -> Tensor:
        """Of one linear layer, [rows, columns] in fp32; nothing else is read."""
        place = self.places[linear]
        end = place.start + place.shape[0]
        rows = []
        for piece in self._pieces_at(place):
            first = piece.place.start
            last = first + (end if piece.place.expert is None else piece.place.shape[0])
            start, stop = max(place.start, first), min(end, last)
            if start < stop:
                rows.append(self._rows(piece, place.expert, slice(start - first, stop - first)))
        return rows[0] if len(rows) == 1 else torch.cat(rows)

    def linears(self, piece: Piece) -> list[str]:
        """The linear layers whose first row is in a piece."""
        at = piece.place
        of_tensor = self._linears[at.own]
        if at.expert is None:
            return of_tensor
        rows = range(at.start, at.start + at.shape[0])
        places = ((linear, self.places[linear]) for linear in of_tensor)
        return [linear for linear, p in places if p.expert == at.expert and p.start in rows]

    def _pieces_at(self, place: Place) -> list[Piece]:
        """In the order of their rows."""
        found = self._pieces[place.own, place.expert] or self._pieces[place.own, None]
        return sorted(found, key=lambda piece: piece.place.start)

    def _rows(self, piece: Piece, expert: int | None, rows: slice) -> Tensor:
        if piece.scheme is not None:
            parts = {last: self.tensor(name) for last, name in piece.parts.items()}
            height, width = piece.place.shape
            return piece.scheme.decode(parts, rows=height, columns=width)[rows]
        (name,) = piece.parts.values()
        index = (expert, rows) if piece.place.expert is None and expert is not None else (rows,)
        return self._file(name).get_slice(name)[index].float()

    def tensor(self, name: str) -> Tensor:
        """A tensor as it is in the files."""
        return self._file(name).get_tensor(name)

    def close_files(self) -> None:
        """Gives back the memory of what was read."""
        self._stack.close()
        self._open.clear()

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
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
