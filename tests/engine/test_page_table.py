"""The pages of sequences: rule by rule, then a model of what every page holds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from palimpsest.engine.page_table import PageTable
from palimpsest.engine.pages import PAGE_TOKENS, OutOfPages, Pages, Window, chain_keys, first_seen

WINDOW = 100  # a query sees 99 positions before its own: two or three pages


def write(table: PageTable, tokens: list[int]) -> None:
    """Stores those of the sequence's `tokens` that are not stored yet, in one pass."""
    table.extend(len(tokens) - table.stored)
    table.advance(len(tokens) - table.stored, chain_keys(tokens))


def written(pages: Pages, count: int) -> PageTable:
    """A table of `count` equal tokens."""
    table = PageTable(pages)
    write(table, [7] * count)
    return table


def all_ids(table: PageTable, window: Window) -> list[int]:
    """Every page that the table holds of a group."""
    return table.pages(window, first_seen(window, table.stored), table.capacity)[0]


def figures(pages: Pages) -> list[tuple[int, int, int]]:
    return [(pool.available, pool.kept, pool.evicted) for pool in pages.pools.values()]


def test_a_new_table_holds_nothing() -> None:
    table = PageTable(Pages({None: 4, WINDOW: 4}))
    assert (table.stored, table.capacity) == (0, 0)
    assert table.pages(None, 0, 0) == ([], 0)


def test_extending_takes_the_pages_it_needs_from_every_group() -> None:
    pages = Pages({None: 4, WINDOW: 4})
    table = PageTable(pages)
    assert table.needed(65) == {None: 2, WINDOW: 2}
    table.extend(65)
    assert [pool.held for pool in pages.pools.values()] == [2, 2]
    assert (table.stored, table.capacity) == (0, 128)


def test_extending_continues_a_partly_filled_page() -> None:
    table = written(Pages({None: 4}), 70)
    assert [table.needed(count)[None] for count in (0, 58, 59, 122, 123)] == [0, 0, 1, 1, 2]
    before = all_ids(table, None)
    table.extend(59)
    assert all_ids(table, None)[:2] == before
    assert table.capacity == 192


def test_room_that_was_not_used_is_used_by_the_next_extend() -> None:
    table = PageTable(Pages({None: 4}))
    table.extend(256)
    table.advance(10, [])
    assert table.needed(246) == {None: 0}
    table.extend(10)
    assert table.capacity == 256


@pytest.mark.parametrize("counts", [{None: 1, WINDOW: 4}, {None: 4, WINDOW: 1}])
def test_without_enough_pages_in_one_group_nothing_is_taken_from_any(
    counts: dict[Window, int],
) -> None:
    pages = Pages(counts)
    table = written(pages, 10)
    before = figures(pages)
    with pytest.raises(OutOfPages, match="100 tokens need"):
        table.extend(100)
    assert figures(pages) == before
    assert (table.stored, table.capacity) == (10, 64)
    table.extend(54)


def test_extending_evicts_kept_pages() -> None:
    pages = Pages({None: 3})
    written(pages, 192).release()
    table = PageTable(pages)
    table.extend(128)
    assert figures(pages) == [(1, 1, 2)]


def test_advancing_makes_complete_pages_findable() -> None:
    pages = Pages({None: 4, WINDOW: 4})
    tokens = list(range(200))
    table = PageTable(pages)
    for stored, found in ((63, 0), (64, 1), (127, 1), (200, 3)):
        write(table, tokens[:stored])
        assert pages.find_prefix(chain_keys(tokens)) == found


def test_advancing_drops_the_pages_that_no_later_query_can_see() -> None:
    pages = Pages({None: 8, WINDOW: 8})
    table = PageTable(pages)
    tokens = [7] * 300
    # page 0 is seen from positions up to 63 + 99, page 1 from positions up to 127 + 99
    for stored, held in ((162, 3), (163, 2), (226, 3), (227, 2)):
        write(table, tokens[:stored])
        assert (pages.pools[None].held, pages.pools[WINDOW].held) == (-(-stored // 64), held)


def test_a_chunk_longer_than_the_window_has_pages_until_it_is_written() -> None:
    pages = Pages({None: 8, WINDOW: 8})
    table = PageTable(pages)
    table.extend(500)
    assert len(table.pages(WINDOW, 0, 500)[0]) == 8
    table.advance(500, chain_keys([7] * 500))
    assert (pages.pools[WINDOW].held, pages.pools[WINDOW].kept) == (2, 6)


def test_dropped_pages_can_still_be_found() -> None:
    pages = Pages({None: 8, WINDOW: 8})
    written(pages, 500)
    assert pages.find_prefix(chain_keys([7] * 128)) == 2


def test_dropped_positions_must_not_be_asked_for() -> None:
    table = written(Pages({None: 8, WINDOW: 8}), 500)
    table.page_of(WINDOW, 401)
    with pytest.raises(AssertionError, match="without a page"):
        table.page_of(WINDOW, 383)


def test_positions_behind_the_capacity_must_not_be_asked_for() -> None:
    table = written(Pages({None: 8}), 65)
    table.page_of(None, 127)
    with pytest.raises(AssertionError, match="without a page"):
        table.page_of(None, 128)


def test_a_range_has_its_pages_and_an_offset_in_the_first() -> None:
    table = PageTable(Pages({None: 8}))
    table.extend(256)
    ids = [table.page_of(None, position) for position in (0, 64, 128, 192)]
    assert len(set(ids)) == 4
    assert table.pages(None, 0, 256) == (ids, 0)
    assert table.pages(None, 63, 64) == (ids[:1], 63)
    assert table.pages(None, 63, 65) == (ids[:2], 63)
    assert table.pages(None, 64, 128) == (ids[1:2], 0)
    assert table.pages(None, 100, 193) == (ids[1:], 36)


def test_a_range_behind_dropped_pages_has_its_own_pages() -> None:
    table = PageTable(Pages({WINDOW: 8}))
    table.extend(500)
    ids, _ = table.pages(WINDOW, 0, 500)
    table.advance(500, chain_keys([7] * 500))
    assert table.pages(WINDOW, 401, 500) == (ids[6:], 17)


def test_a_table_adopts_the_pages_that_a_query_behind_the_prefix_can_see() -> None:
    pages = Pages({None: 8, WINDOW: 8})
    owner = written(pages, 256)
    table = PageTable(pages)
    assert table.adopt(chain_keys([7] * 300)) == 256
    assert (table.stored, table.capacity) == (256, 256)
    assert table.pages(None, 0, 256) == owner.pages(None, 0, 256)
    assert table.pages(WINDOW, 157, 256) == owner.pages(WINDOW, 157, 256)
    assert [len(all_ids(table, window)) for window in (None, WINDOW)] == [4, 2]
    assert all(pages.pools[None].holders(page) == 2 for page in all_ids(table, None))


def test_a_table_adopts_nothing_when_nothing_is_known() -> None:
    table = PageTable(Pages({None: 8, WINDOW: 8}))
    assert table.adopt(chain_keys([7] * 300)) == 0
    assert (table.stored, table.capacity) == (0, 0)


def test_only_an_empty_table_can_adopt() -> None:
    table = written(Pages({None: 8}), 1)
    with pytest.raises(AssertionError, match="empty"):
        table.adopt([])


def test_what_follows_an_adopted_prefix_goes_to_a_page_of_its_own() -> None:
    pages = Pages({None: 8})
    owner = written(pages, 100)
    table = PageTable(pages)
    table.adopt(chain_keys([7] * 100))
    table.extend(36)
    assert table.page_of(None, 0) == owner.page_of(None, 0)
    assert table.page_of(None, 64) != owner.page_of(None, 64)


def test_releasing_gives_every_page_back() -> None:
    pages = Pages({None: 8, WINDOW: 8})
    table = written(pages, 200)
    table.extend(100)
    table.release()
    assert [(pool.held, pool.kept) for pool in pages.pools.values()] == [(0, 3), (0, 3)]
    assert (table.stored, table.capacity) == (0, 0)


def test_releasing_an_empty_table_does_nothing() -> None:
    table = written(Pages({None: 8}), 200)
    table.release()
    table.release()
    assert table.stored == 0


def test_a_released_table_can_be_used_again() -> None:
    pages = Pages({None: 8, WINDOW: 8})
    table = written(pages, 500)
    table.release()
    assert table.adopt(chain_keys([7] * 500)) == 448
    write(table, [7] * 500)
    assert [pool.held for pool in pages.pools.values()] == [8, 2]


def test_the_tail_of_a_released_sequence_is_evicted_before_its_head() -> None:
    pages = Pages({None: 4})
    written(pages, 256).release()
    keys = chain_keys([7] * 256)
    prefixes = []
    for _ in range(4):
        pages.pools[None].take()
        prefixes.append(pages.find_prefix(keys))
    assert prefixes == [3, 2, 1, 0]


SLOT = st.integers(0, 2)
COUNT = st.one_of(st.sampled_from([1, 63, 64, 65, 128]), st.integers(1, 300))
SYMBOL = st.integers(0, 1)


@dataclass
class Model:
    """A sequence as it should be: its tokens, and what each of them writes."""

    table: PageTable
    tokens: list[int] = field(default_factory=list)
    values: list[int] = field(default_factory=list)

    def append(self, tokens: list[int]) -> None:
        """Like keys and values, what is written depends on all tokens so far."""
        for token in tokens:
            self.tokens.append(token)
            self.values.append(hash((self.values[-1] if self.values else 0, token)))


class State(NamedTuple):
    """What an extend that fails must not change."""

    room: tuple[int, int]
    ids: dict[Window, list[int]]
    figures: list[tuple[int, int, int]]


class Paging(RuleBasedStateMachine):
    """Sequences of few distinct tokens share small pools; a dict stands for the memory."""

    @initialize(window=st.sampled_from([1, 64, 65, 66, 100, 130]), count=st.integers(4, 10))
    def start(self, window: int, count: int) -> None:
        self.pages = Pages({None: 8, window: count})
        self.slots = [Model(PageTable(self.pages)) for _ in range(3)]
        self.memory = {
            (each, page): [0] * PAGE_TOKENS
            for each, pool in self.pages.pools.items()
            for page in range(pool.count)
        }
        self.known: dict[bytes, list[int]] = {}

    @rule(slot=SLOT, symbols=st.lists(SYMBOL, min_size=1, max_size=6), write_rest=st.booleans())
    def begin(self, slot: int, symbols: list[int], write_rest: bool) -> None:
        """A prompt of whole pages, of which the cached prefix is adopted."""
        self.release(slot)
        self.check_found()
        model = self.slots[slot]
        prompt = [symbol for symbol in symbols for _ in range(PAGE_TOKENS)]
        keys = chain_keys(prompt)
        longest = max(count for count in range(len(keys) + 1) if self.complete(keys, count))
        assert model.table.adopt(keys) == longest * PAGE_TOKENS
        model.append(prompt[: model.table.stored])
        rest = prompt[model.table.stored :]
        if write_rest and self.extend(slot, len(rest)):
            self.commit(model, rest)

    @rule(slot=SLOT, count=COUNT)
    def reserve(self, slot: int, count: int) -> None:
        self.extend(slot, count)

    @rule(slot=SLOT, count=COUNT, symbol=SYMBOL)
    def advance(self, slot: int, count: int, symbol: int) -> None:
        model = self.slots[slot]
        room = model.table.capacity - model.table.stored
        self.commit(model, [symbol] * min(count, room))

    @rule(slot=SLOT)
    def release(self, slot: int) -> None:
        self.slots[slot].table.release()
        self.slots[slot] = Model(self.slots[slot].table)

    @invariant()
    def a_page_has_as_many_holders_as_tables_and_is_available_without(self) -> None:
        for window, pool in self.pages.pools.items():
            counts = Counter(page for each in self.slots for page in all_ids(each.table, window))
            assert counts == {page: pool.holders(page) for page in counts}
            assert (pool.held, pool.available) == (len(counts), pool.count - len(counts))

    @invariant()
    def every_sequence_sees_its_own_tokens(self) -> None:
        for model in self.slots:
            for window in self.pages.pools:
                start, end = first_seen(window, model.table.stored), model.table.stored
                ids, offset = model.table.pages(window, start, end)
                seen = [value for page in ids for value in self.memory[window, page]]
                assert seen[offset : offset + end - start] == model.values[start:]

    def check_found(self) -> None:
        """What is found by a key has the content of the key, and what is kept is found."""
        for window, pool in self.pages.pools.items():
            found = {key: pool.find(key) for key in self.known}
            pages = [page for page in found.values() if page is not None]
            assert len(set(pages)) == len(pages)
            assert pool.kept == sum(not pool.holders(page) for page in pages)
            for key, page in found.items():
                assert page is None or self.memory[window, page] == self.known[key]

    def extend(self, slot: int, count: int) -> bool:
        """Whether there was room; writes what a pass may write there before it is committed."""
        table = self.slots[slot].table
        needed, before = table.needed(count), self.state(table)
        if any(needed[window] > pool.available for window, pool in self.pages.pools.items()):
            with pytest.raises(OutOfPages):
                table.extend(count)
            assert self.state(table) == before
            return False
        table.extend(count)
        for window, ids in before.ids.items():
            after = all_ids(table, window)
            assert (after[: len(ids)], len(after)) == (ids, len(ids) + needed[window])
        self.store(table, [1] * count)
        return True

    def commit(self, model: Model, tokens: list[int]) -> None:
        """Writes `tokens`, for which there is room."""
        model.append(tokens)
        self.store(model.table, model.values[model.table.stored :])
        keys = chain_keys(model.tokens)
        for index, key in enumerate(keys):
            self.known[key] = model.values[index * PAGE_TOKENS : (index + 1) * PAGE_TOKENS]
        model.table.advance(len(tokens), keys)
        assert model.table.stored == len(model.tokens)

    def complete(self, keys: list[bytes], count: int) -> bool:
        """Whether a query right after `count` pages finds every position that it can see."""
        end = count * PAGE_TOKENS
        for window, pool in self.pages.pools.items():
            seen = {position // PAGE_TOKENS for position in range(first_seen(window, end), end)}
            if any(pool.find(keys[page]) is None for page in seen):
                return False
        return True

    def store(self, table: PageTable, values: list[int]) -> None:
        """Writes behind what is stored, as a pass does."""
        for window in self.pages.pools:
            ids, offset = table.pages(window, table.stored, table.stored + len(values))
            for index, value in enumerate(values, start=offset):
                self.memory[window, ids[index // PAGE_TOKENS]][index % PAGE_TOKENS] = value

    def state(self, table: PageTable) -> State:
        pools = self.pages.pools
        return State(
            room=(table.stored, table.capacity),
            ids={window: all_ids(table, window) for window in pools},
            figures=figures(self.pages),
        )


TestPaging = Paging.TestCase
