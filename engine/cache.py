"""Keys and values of committed tokens, written and read by position.

`PagedCache` is what serving uses: one memory of pages that all sequences share. `SequenceCache` is
the plain one beside it: contiguous, for one sequence. A canvas writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from palimpsest.engine.config import LayerConfig, ModelConfig
from palimpsest.engine.page_table import PageTable
from palimpsest.engine.pages import PAGE_TOKENS
from palimpsest.engine.shapes import Keys

_FIRST_CAPACITY = 512


@runtime_checkable
class KeyValues(Protocol):
    """Keys and values of one sequence, as a pass sees them."""

    def write(self, layer: LayerConfig, start: int, key: Keys, value: Keys) -> None:
        """Stores rows at positions `start` onwards."""
        ...

    def read(self, layer: LayerConfig, start: int, end: int) -> tuple[Keys, Keys]:
        """Keys and values of positions start to end - 1."""
        ...


class PagedCache:
    """The memory of all pages; `counts` says how many a layer has, by its window."""

    def __init__(
        self,
        config: ModelConfig,
        counts: Mapping[int | None, int],
        *,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        def empty(layer: LayerConfig) -> Tensor:
            rows = counts[layer.window] * PAGE_TOKENS
            shape = (rows, layer.num_key_value_heads, layer.head_dim)
            return torch.empty(shape, dtype=dtype, device=device)

        self.keys = [empty(layer) for layer in config.layers]
        self.values = [empty(layer) for layer in config.layers]

    def of(self, table: PageTable) -> PagedSequence:
        """The sequence that `table` is of, for one pass: the table must not change meanwhile."""
        return PagedSequence(self, table)


class PagedSequence:
    """KeyValues in pages. Where a range lies is looked up once for all layers of a kind."""

    def __init__(self, cache: PagedCache, table: PageTable) -> None:
        self._cache, self.table = cache, table
        self._rows: dict[tuple[int | None, int, int], Tensor] = {}

    def write(self, layer: LayerConfig, start: int, key: Keys, value: Keys) -> None:
        rows = self._rows_of(layer, start, start + len(key))
        self._cache.keys[layer.index].index_copy_(0, rows, key)
        self._cache.values[layer.index].index_copy_(0, rows, value)

    def read(self, layer: LayerConfig, start: int, end: int) -> tuple[Keys, Keys]:
        rows = self._rows_of(layer, start, end)
        return self._cache.keys[layer.index][rows], self._cache.values[layer.index][rows]

    def _rows_of(self, layer: LayerConfig, start: int, end: int) -> Tensor:
        name = (layer.window, start, end)
        if name not in self._rows:
            pages, offset = self.table.pages(layer.window, start, end)
            device = self._cache.keys[0].device
            rows = torch.tensor(pages, dtype=torch.int64, device=device)[:, None] * PAGE_TOKENS
            rows = (rows + torch.arange(PAGE_TOKENS, device=device)).flatten()
            self._rows[name] = rows[offset : offset + end - start]
        return self._rows[name]


class SequenceCache:
    """KeyValues without pages; grows by doubling."""

    def __init__(self, config: ModelConfig, *, dtype: torch.dtype, device: torch.device) -> None:
        self.layers = config.layers
        self.keys = [self._empty(0, layer, dtype, device) for layer in self.layers]
        self.values = [self._empty(0, layer, dtype, device) for layer in self.layers]

    def write(self, layer: LayerConfig, start: int, key: Keys, value: Keys) -> None:
        self._reserve(layer, start + len(key))
        self.keys[layer.index][start : start + len(key)] = key
        self.values[layer.index][start : start + len(value)] = value

    def read(self, layer: LayerConfig, start: int, end: int) -> tuple[Keys, Keys]:
        """Without copying."""
        return self.keys[layer.index][start:end], self.values[layer.index][start:end]

    def _reserve(self, layer: LayerConfig, tokens: int) -> None:
        for store in (self.keys, self.values):
            old = store[layer.index]
            if tokens > len(old):
                capacity = max(_FIRST_CAPACITY, tokens, 2 * len(old))
                grown = self._empty(capacity, layer, old.dtype, old.device)
                grown[: len(old)] = old
                store[layer.index] = grown

    def _empty(
        self, capacity: int, layer: LayerConfig, dtype: torch.dtype, device: torch.device
    ) -> Tensor:
        shape = (capacity, layer.num_key_value_heads, layer.head_dim)
        return torch.empty(shape, dtype=dtype, device=device)


def bytes_per_token(config: ModelConfig, dtype: torch.dtype) -> dict[int | None, int]:
    """Bytes of keys and values of one token in all layers of a kind, by window."""
    sizes: dict[int | None, int] = {}
    for layer in config.layers:
        size = 2 * layer.num_key_value_heads * layer.head_dim * dtype.itemsize
        sizes[layer.window] = sizes.get(layer.window, 0) + size
    return sizes
