"""Keys and values of one sequence."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from palimpsest.engine.cache import SequenceCache, bytes_per_token
from palimpsest.engine.config import ModelConfig, read_config


@pytest.fixture
def config(bundled_folder: Path) -> ModelConfig:
    return read_config(bundled_folder)


@pytest.fixture
def cache(config: ModelConfig) -> SequenceCache:
    return SequenceCache(config, dtype=torch.float32, device=torch.device("cpu"))


def rows(count: int, value: float) -> torch.Tensor:
    return torch.full((count, 2, 32), value)


def test_a_new_cache_takes_no_memory(cache: SequenceCache) -> None:
    assert cache.capacity == 0


def test_what_is_written_is_read_back_without_a_copy(cache: SequenceCache) -> None:
    cache.reserve(10)
    cache.write(0, 3, rows(2, 1.0), rows(2, 2.0))
    keys, values = cache.read(0, 3, 5)
    assert torch.equal(keys, rows(2, 1.0))
    assert torch.equal(values, rows(2, 2.0))
    assert keys.data_ptr() == cache.keys[0][3].data_ptr()


def test_layers_do_not_share(cache: SequenceCache) -> None:
    cache.reserve(2)
    cache.write(0, 0, rows(2, 1.0), rows(2, 1.0))
    cache.write(1, 0, rows(2, 2.0), rows(2, 2.0))
    assert torch.equal(cache.read(0, 0, 2)[0], rows(2, 1.0))


def test_the_next_write_replaces_what_a_canvas_left(cache: SequenceCache) -> None:
    cache.reserve(8)
    cache.write(0, 4, rows(4, 1.0), rows(4, 1.0))
    cache.write(0, 4, rows(2, 2.0), rows(2, 2.0))
    assert cache.read(0, 4, 8)[0][:, 0, 0].tolist() == [2.0, 2.0, 1.0, 1.0]


def test_growing_keeps_what_is_written_in_every_layer(cache: SequenceCache) -> None:
    cache.reserve(1)
    before = cache.capacity
    for layer, (keys, values) in enumerate(zip(cache.keys, cache.values, strict=True)):
        keys.fill_(layer)
        values.fill_(-layer)
    cache.reserve(before + 1)
    assert cache.capacity == 2 * before
    for layer in range(4):
        keys, values = cache.read(layer, 0, before)
        assert keys.eq(layer).all()
        assert values.eq(-layer).all()


def test_reserving_less_than_there_is_moves_nothing(cache: SequenceCache) -> None:
    cache.reserve(600)
    place, capacity = cache.keys[0].data_ptr(), cache.capacity
    cache.reserve(600)
    cache.reserve(1)
    assert (cache.keys[0].data_ptr(), cache.capacity) == (place, capacity)


def test_a_jump_reserves_what_was_asked_for(cache: SequenceCache) -> None:
    cache.reserve(5000)
    assert cache.capacity == 5000


def test_bytes_per_token_are_those_of_the_tensors(
    cache: SequenceCache, config: ModelConfig
) -> None:
    cache.reserve(100)
    total = sum(tensor.nbytes for tensor in cache.keys + cache.values)
    assert total == cache.capacity * bytes_per_token(config, torch.float32)
    assert bytes_per_token(config, torch.bfloat16) * 2 == bytes_per_token(config, torch.float32)
