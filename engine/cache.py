"""Keys and values of one sequence, contiguous per layer.

A canvas writes its keys and values behind the committed ones, where the next write replaces them:
what is committed is decided by whoever counts tokens, not here.
"""

from __future__ import annotations

import torch

from palimpsest.engine.config import ModelConfig
from palimpsest.engine.shapes import Keys

_FIRST_CAPACITY = 512


class SequenceCache:
    """Grows by doubling; `reserve` before a pass, then write and read any range below it."""

    def __init__(self, config: ModelConfig, *, dtype: torch.dtype, device: torch.device) -> None:
        self.layers = config.layers
        self.keys = [self._empty(0, index, dtype, device) for index in range(len(self.layers))]
        self.values = [self._empty(0, index, dtype, device) for index in range(len(self.layers))]

    @property
    def capacity(self) -> int:
        """Tokens that fit without growing."""
        return self.keys[0].shape[0]

    def reserve(self, tokens: int) -> None:
        """Makes room for positions below `tokens`, keeping what is written."""
        if tokens <= self.capacity:
            return
        capacity = max(_FIRST_CAPACITY, tokens, 2 * self.capacity)
        for store in (self.keys, self.values):
            for index, old in enumerate(store):
                grown = self._empty(capacity, index, old.dtype, old.device)
                grown[: len(old)] = old
                store[index] = grown

    def write(self, layer: int, start: int, key: Keys, value: Keys) -> None:
        """Stores rows at positions `start` onwards."""
        self.keys[layer][start : start + len(key)] = key
        self.values[layer][start : start + len(value)] = value

    def read(self, layer: int, start: int, end: int) -> tuple[Keys, Keys]:
        """Keys and values of positions start to end - 1, without copying."""
        return self.keys[layer][start:end], self.values[layer][start:end]

    def _empty(
        self, capacity: int, index: int, dtype: torch.dtype, device: torch.device
    ) -> torch.Tensor:
        layer = self.layers[index]
        shape = (capacity, layer.num_key_value_heads, layer.head_dim)
        return torch.empty(shape, dtype=dtype, device=device)


def bytes_per_token(config: ModelConfig, dtype: torch.dtype) -> int:
    """Bytes of keys and values of one token in all layers."""
    width = sum(layer.num_key_value_heads * layer.head_dim for layer in config.layers)
    return 2 * width * dtype.itemsize
