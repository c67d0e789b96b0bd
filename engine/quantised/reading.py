"""Reads pieces and puts the network's tensors together from them, file by file.

Files are open one at a time. A linear layer waits only for its tensors that have not come yet, so
beside the network there are one file's pages and a few linear layers in memory.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Size, Tensor

from palimpsest.engine.headers import damaged
from palimpsest.engine.quantised.float8 import Float8
from palimpsest.engine.quantised.lowbit import LowBitExperts
from palimpsest.engine.quantised.nvfp4 import Nvfp4
from palimpsest.engine.quantised.plan import PLAIN, Piece
from palimpsest.kernels.lowbit import LowBit
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
    low_bit: dict[str, LowBit] = field(default_factory=dict)
    """Experts that stayed in few bits; `tensors` does not have them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What tensors are read into."""

    dtype: torch.dtype
    device: torch.device
    keep_codes: bool = False
    """Whether large matrices in e4m3, and experts in 6 or 4 bits, stay so, for kernels that read
    them so. Of a matrix that is e4m3 in part, the rest is rounded too; and so is NVFP4, whose error
    of 9.5 % becomes 9.9 %.
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
    kept = kept_tensors(pieces) if target.keep_codes else {}
    filling = _Filling(shapes, target, kept)
    wanted: dict[str, list[int]] = defaultdict(list)
    for index, piece in enumerate(pieces):
        for name in piece.parts.values():
            wanted[name].append(index)
    total, done = sum(path.stat().st_size for path in files), 0
    waiting: dict[int, dict[str, Tensor]] = defaultdict(dict)
    for path in files:
        for name, tensor in _tensors(path):
            done += tensor.nbytes
            progress(min(done, total), total)
            for index in wanted[name]:
                waiting[index][name] = tensor
                parts = pieces[index].parts
                if len(waiting[index]) == len(parts):
                    came = waiting.pop(index)
                    filling.put(pieces[index], {last: came[of] for last, of in parts.items()})
        # what is read is a view of its file, whose pages stay in memory as long as that is there
        for came in waiting.values():
            came.update({name: tensor.clone() for name, tensor in came.items()})
    return filling.weights


def kept_tensors(pieces: Iterable[Piece]) -> dict[str, float]:
    """The network's tensors that stay, or come, in few bits: bytes of one of their weights."""
    kept: dict[str, float] = {}
    for piece in pieces:
        own = piece.place.own
        if isinstance(piece.scheme, Float8 | Nvfp4) and _EIGHT_BITS.fullmatch(own):
            kept[own] = 1.0
        elif isinstance(piece.scheme, LowBitExperts):
            kept[own] = piece.scheme.bytes_per_weight(*piece.place.shape)
    return kept


@dataclass(frozen=True, slots=True)
class _Filling:
    """The network while it comes together."""

    shapes: dict[str, Size]
    target: Target
    kept: dict[str, float]
    weights: Weights = field(default_factory=Weights)

    def put(self, piece: Piece, parts: dict[str, Tensor]) -> None:
        own = piece.place.own
        if own in self.kept and isinstance(piece.scheme, LowBitExperts):
            self._stack(piece, piece.scheme.packed(parts, *piece.place.shape))
            return
        if own not in self.kept:
            shape, values = self.shapes[own], _decoded(piece, parts)
            self._place(self.weights.tensors, piece, values, shape, self.target.dtype)
            return
        codes, scales = _codes(piece, parts)
        self._place(self.weights.tensors, piece, codes, self.shapes[own], codes.dtype)
        self._place(self.weights.scales, piece, scales, self.shapes[own][:-1], scales.dtype)

    def _stack(self, piece: Piece, one: LowBit) -> None:
        """An expert beside the others of its layer."""
        own, expert = piece.place.own, piece.place.expert
        if own not in self.weights.low_bit:
            experts = self.shapes[own][0]
            self.weights.low_bit[own] = replace(
                one,
                planes=one.planes.new_empty(experts, *one.planes.shape, device=self.target.device),
                scales=one.scales.new_empty(experts, *one.scales.shape, device=self.target.device),
            )
        layer = self.weights.low_bit[own]
        layer.planes[expert] = one.planes.to(self.target.device)
        layer.scales[expert] = one.scales.to(self.target.device)

    def _place(
        self,
        tensors: dict[str, Tensor],
        piece: Piece,
        values: Tensor,
        shape: Size,
        dtype: torch.dtype,
    ) -> None:
        own, index = piece.place.own, piece.place.index
        if not index:
            # a copy in any case: no view of a file may be left
            tensors[own] = values.to(self.target.device, dtype, copy=True)
            return
        if own not in tensors:
            tensors[own] = torch.empty(shape, dtype=dtype, device=self.target.device)
        tensors[own][index] = values.to(self.target.device)


def _decoded(piece: Piece, parts: dict[str, Tensor]) -> Tensor:
    if piece.scheme is None:
        return parts[PLAIN]
    rows, columns = piece.place.shape
    return piece.scheme.decode(parts, rows=rows, columns=columns)


def _codes(piece: Piece, parts: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    if isinstance(piece.scheme, Float8):
        return piece.scheme.codes(parts)
    return quantise_rows(_decoded(piece, parts))


def _tensors(path: Path) -> Iterator[tuple[str, Tensor]]:
    """Views of a file."""
    try:
        with safe_open(str(path), framework="pt") as file:
            for name in sorted(file.keys()):
                yield name, file.get_tensor(name)
    except (SafetensorError, OSError) as wrong:
        raise damaged(path, wrong) from None
