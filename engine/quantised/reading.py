"""Reads pieces and puts the network's tensors together from them, file by file.

Files are open one at a time. A linear layer waits only for its tensors that have not come yet, so
beside the network there are one file's pages and a few linear layers in memory.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Size, Tensor

from palimpsest.engine.headers import damaged
from palimpsest.engine.quantised.float8 import Float8
from palimpsest.engine.quantised.plan import PLAIN, Piece
from palimpsest.kernels.quantise import quantise_rows

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""

_EIGHT_BITS = re.compile(r"layers\.\d+\.(self_attn|mlp|experts)\..*_proj(\.weight)?")
"""The matrices that fused kernels read in e4m3."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The network's tensors by its own names."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    scales: dict[str, Tensor] = field(default_factory=dict)
    """Of the tensors that stayed e4m3: fp32, one for each row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What tensors are read into."""

    dtype: torch.dtype
    device: torch.device
    keep_codes: bool = False
    """Whether the large matrices of FP8 checkpoints stay e4m3, for kernels that read them so. If a
    matrix is FP8 in part, the rest of it is rounded too.
    """


def read(
    files: Sequence[Path],
    pieces: Sequence[Piece],
    shapes: dict[str, Size],
    *,
    target: Target,
    progress: Progress,
) -> Weights:
    """All pieces of the files. Raises CheckpointError naming a file that cannot be read."""
    filling = _Filling(shapes, target, coded_tensors(pieces) if target.keep_codes else frozenset())
    wanted: dict[str, list[int]] = defaultdict(list)
    for index, piece in enumerate(pieces):
        for name in piece.parts.values():
            wanted[name].append(index)
    total, done = sum(path.stat().st_size for path in files), 0
    waiting: dict[int, dict[str, Tensor]] = defaultdict(dict)
    for name, tensor in _tensors(files):
        done += tensor.nbytes
        progress(min(done, total), total)
        for index in wanted[name]:
            # one set of layer scalars may serve both modes, which must not share memory
            waiting[index][name] = tensor.clone() if len(wanted[name]) > 1 else tensor
            parts = pieces[index].parts
            if len(waiting[index]) == len(parts):
                came = waiting.pop(index)
                filling.put(pieces[index], {last: came[of] for last, of in parts.items()})
    return filling.weights


def coded_tensors(pieces: Iterable[Piece]) -> frozenset[str]:
    """The network's tensors that can stay e4m3."""
    owners = {piece.place.own for piece in pieces if isinstance(piece.scheme, Float8)}
    return frozenset(own for own in owners if _EIGHT_BITS.fullmatch(own))


@dataclass(frozen=True, slots=True)
class _Filling:
    """The network while it comes together."""

    shapes: dict[str, Size]
    target: Target
    coded: frozenset[str]
    weights: Weights = field(default_factory=Weights)

    def put(self, piece: Piece, parts: dict[str, Tensor]) -> None:
        own = piece.place.own
        if own in self.coded:
            codes, scales = _codes(piece, parts)
            self._place(self.weights.tensors, piece, codes, self.shapes[own])
            self._place(self.weights.scales, piece, scales, self.shapes[own][:-1])
            return
        values = _decoded(piece, parts).to(device=self.target.device, dtype=self.target.dtype)
        self._place(self.weights.tensors, piece, values, self.shapes[own])

    def _place(self, tensors: dict[str, Tensor], piece: Piece, values: Tensor, shape: Size) -> None:
        place = piece.place
        if not place.index:
            tensors[place.own] = values.to(self.target.device)
            return
        if place.own not in tensors:
            tensors[place.own] = values.new_empty(shape, device=self.target.device)
        tensors[place.own][place.index] = values


def _decoded(piece: Piece, parts: dict[str, Tensor]) -> Tensor:
    if piece.scheme is None:
        return parts[PLAIN]
    rows, columns = piece.place.shape
    return piece.scheme.decode(parts, rows=rows, columns=columns)


def _codes(piece: Piece, parts: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    if isinstance(piece.scheme, Float8):
        return piece.scheme.codes(parts)
    return quantise_rows(parts[PLAIN])


def _tensors(files: Iterable[Path]) -> Iterator[tuple[str, Tensor]]:
    for path in files:
        try:
            with safe_open(str(path), framework="pt") as file:
                for name in sorted(file.keys()):
                    yield name, file.get_tensor(name)
        except (SafetensorError, OSError) as wrong:
            raise damaged(path, wrong) from None
