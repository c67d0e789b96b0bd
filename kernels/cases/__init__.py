"""Every kernel with inputs, a plain definition and its counts: what is inspected and timed."""

from __future__ import annotations

from collections.abc import Iterator

from palimpsest.kernels.cases import attention, experts, head, layer
from palimpsest.kernels.cases.case import RELEASED, TINY, Case, Make, Sizes

__all__ = ["RELEASED", "TINY", "Case", "Make", "Sizes", "all_cases"]


def all_cases(sizes: Sizes, *, itemsize: int) -> Iterator[Case]:
    """In the order of a step. `itemsize` is that of activations which are not quantised."""
    yield from layer.cases(sizes, itemsize=itemsize)
    yield from attention.cases(sizes, itemsize=itemsize)
    yield from experts.cases(sizes, itemsize=itemsize)
    yield from head.cases(sizes, itemsize=itemsize)
