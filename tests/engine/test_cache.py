"""Keys and values by position: contiguous for one sequence, and in pages that all share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from palimpsest.engine.cache import KeyValues, PagedCache, SequenceCache, bytes_per_token
from palimpsest.engine.config import LayerConfig, ModelConfig, read_config
from palimpsest.engine.page_table import PageTable
from palimpsest.engine.pages import PAGE_TOKENS, Pages

CPU = torch.device("cpu")
TOKENS = 3 * PAGE_TOKENS + 5


@pytest.fixture(scope="module")
def config(bundled_folder: Path) -> ModelConfig:
    return read_config(bundled_folder)


def contiguous(config: ModelConfig) -> KeyValues:
    return SequenceCache(config, dtype=torch.float32, device=CPU)


def paged(config: ModelConfig) -> KeyValues:
    """In pages that do not follow each other in memory."""
    counts = {layer.window: 8 for layer in config.layers}
    pages = Pages(counts)
    holes = PageTable(pages)
    table = PageTable(pages)
    for _ in range(4):
        holes.extend(PAGE_TOKENS)
        holes.advance(PAGE_TOKENS, [bytes([i]) for i in range(9)])
        table.extend(table.capacity + PAGE_TOKENS)
    return PagedCache(config, counts, dtype=torch.float32, device=CPU).of(table)


both = pytest.mark.parametrize("make", [contiguous, paged])
Make = Callable[[ModelConfig], KeyValues]


def rows(layer: LayerConfig, count: int, value: float = 0.0) -> torch.Tensor:
    counting = torch.arange(count).float()[:, None, None] + value
    return counting.expand(-1, layer.num_key_value_heads, layer.head_dim).contiguous()


@both
def test_what_is_written_is_read_back_in_every_layer(make: Make, config: ModelConfig) -> None:
    cache = make(config)
    for layer in config.layers:
        cache.write(layer, 0, rows(layer, TOKENS, layer.index), rows(layer, TOKENS, -layer.index))
    for layer in config.layers:
        for start, end in ((0, TOKENS), (5, 9), (PAGE_TOKENS - 1, PAGE_TOKENS + 1), (70, 70)):
            keys, values = cache.read(layer, start, end)
            assert torch.equal(keys, rows(layer, TOKENS, layer.index)[start:end])
            assert torch.equal(values, rows(layer, TOKENS, -layer.index)[start:end])


@both
def test_writing_in_pieces_is_writing_at_once(make: Make, config: ModelConfig) -> None:
    cache, layer = make(config), config.layers[0]
    for start in range(0, TOKENS, 7):
        piece = rows(layer, TOKENS)[start : start + 7]
        cache.write(layer, start, piece, -piece)
    keys, values = cache.read(layer, 0, TOKENS)
    assert torch.equal(keys, rows(layer, TOKENS))
    assert torch.equal(values, -rows(layer, TOKENS))


def test_a_contiguous_cache_takes_memory_as_it_grows_and_is_read_without_a_copy(
    config: ModelConfig,
) -> None:
    cache, layer = SequenceCache(config, dtype=torch.float32, device=CPU), config.layers[0]
    assert all(keys.nbytes == 0 for keys in cache.keys)
    cache.write(layer, 0, rows(layer, 5), rows(layer, 5))
    keys, _ = cache.read(layer, 2, 5)
    assert keys.data_ptr() == cache.keys[0][2].data_ptr()


def test_sequences_do_not_touch_each_other_in_the_pages_they_share(config: ModelConfig) -> None:
    counts = {layer.window: 8 for layer in config.layers}
    pages, layer = Pages(counts), config.layers[-1]
    memory = PagedCache(config, counts, dtype=torch.float32, device=CPU)
    one, other = PageTable(pages), PageTable(pages)
    for table, value in ((one, 100.0), (other, 200.0)):
        table.extend(PAGE_TOKENS + 1)
        written = rows(layer, PAGE_TOKENS + 1, value)
        memory.of(table).write(layer, 0, written, written)
    assert torch.equal(
        memory.of(one).read(layer, 0, PAGE_TOKENS + 1)[0], rows(layer, PAGE_TOKENS + 1, 100.0)
    )


def test_bytes_per_token_are_those_of_the_tensors(config: ModelConfig) -> None:
    counts = {layer.window: 3 for layer in config.layers}
    memory = PagedCache(config, counts, dtype=torch.float32, device=CPU)
    sizes = bytes_per_token(config, torch.float32)
    for window, size in sizes.items():
        of_kind = [layer.index for layer in config.layers if layer.window == window]
        total = sum(memory.keys[i].nbytes + memory.values[i].nbytes for i in of_kind)
        assert total == 3 * PAGE_TOKENS * size
    assert {w: 2 * s for w, s in bytes_per_token(config, torch.bfloat16).items()} == sizes
