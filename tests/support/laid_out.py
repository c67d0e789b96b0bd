"""Parts of a pass of fused kernels, and where they lie."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from palimpsest.engine.cache import PagedCache
from palimpsest.engine.gpu.layout import Part, PassLayout, PassShape, fields, lay_out, layout_of
from palimpsest.engine.gpu.packed import Packed
from palimpsest.engine.loaded_model import LoadedModel
from palimpsest.engine.page_table import PageTable
from palimpsest.engine.pages import Window
from palimpsest.engine.shapes import TokenIds

LONGEST = 1024
"""Tokens of a sequence."""


def cache_of(model: LoadedModel, pages: int) -> PagedCache:
    config = model.network.config
    counts = dict.fromkeys((layer.window for layer in config.layers), pages)
    return PagedCache(config, counts, dtype=model.dtype, device=model.device)


def causal(table: PageTable, count: int, *, seed: int) -> Part:
    """Tokens at the end of a sequence; `advance` the table after the pass."""
    table.extend(count)
    ids = random_tokens(count, seed=seed).tolist()
    return Part.of(table, start=table.stored, length=count, token_ids=ids)


def showing(table: PageTable, count: int, *, key: bytes) -> Part:
    """A picture at the end of a sequence; `advance` the table after the pass."""
    table.extend(count)
    return Part.of(table, start=table.stored, length=count, token_ids=[7] * count, shows=key)


def canvas_after(table: PageTable, length: int, *, behind: int = 0) -> Part:
    """A canvas behind the sequence and `behind` tokens that the same pass writes."""
    return Part.of(table, start=table.stored + behind, length=length)


def laid_out(
    parts: Sequence[Part], shape: PassShape, windows: Sequence[Window], *, stale: bool = False
) -> PassLayout:
    """As the device reads it; `stale`: after other numbers stood there."""
    packed = Packed(fields(shape, windows, context_tokens=LONGEST), device=torch.device("cpu"))
    if stale:
        for numbers in packed.here.values():
            numbers.fill(1)
    packed.send(*lay_out(parts, packed.here, windows, canvas_length=shape.canvas_length))
    return layout_of(packed.there, windows)


def random_tokens(count: int, *, seed: int) -> TokenIds:
    return torch.randint(3, 500, (count,), generator=torch.Generator().manual_seed(seed))
