"""What all quantised layouts have in common: several tensors stand for one linear layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from palimpsest.engine.headers import Entry

SIXTEEN_OR_MORE = ("BF16", "F16", "F32")
"""Dtypes of weights that are not quantised."""


class Misplaced(ValueError):
    """A tensor is unknown, missing or not what its place asks for; the message names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One of the tensors of a linear layer."""

    dtypes: tuple[str, ...]
    """As files spell them."""
    shape: tuple[int, ...]
    """One number has the shape [] in some files and [1] in others; either is read."""

    def mismatch(self, found: Entry) -> str | None:
        """What is wrong with a tensor in this place; None if nothing is."""
        if found.dtype not in self.dtypes:
            return f"is {found.dtype}, its layout asks for {' or '.join(self.dtypes)}"
        numbers = {(), (1,)}
        if found.shape != self.shape and not {found.shape, self.shape} <= numbers:
            asked = list(self.shape)
            return f"has shape {list(found.shape)}, config.json asks for {asked}"
        return None


@runtime_checkable
class Scheme(Protocol):
    """One layout."""

    @property
    def name(self) -> str:
        """As refusals and `palimpsest inspect` call it."""
        ...

    @property
    def unused(self) -> frozenset[str]:
        """Tensors of a linear layer that may be there and are not needed: scales of activations,
        which this engine finds anew for every token or does not round at all.
        """
        ...

    def parts(self, rows: int, columns: int) -> dict[str, Part]:
        """The tensors of a linear layer [rows, columns], by the last part of their names.

        Raises Misplaced for a shape that the layout has no place for.
        """
        ...

    def decode(self, parts: Mapping[str, Tensor], *, rows: int, columns: int) -> Tensor:
        """The weights [rows, columns] in fp32 that checked parts stand for."""
        ...


@runtime_checkable
class Codec(Scheme, Protocol):
    """A layout that is written too."""

    def encode(self, weight: Tensor, *, largest: float) -> dict[str, Tensor]:
        """The parts of `weight` [rows, columns]. `largest` is the largest magnitude in it and in
        the matrices that it shares a scale with.
        """
        ...
