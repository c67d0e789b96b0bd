"""A model of what every page holds, beside the pages of sequences that begin, grow and end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from page_tables import all_ids, figures

from palimpsest.engine.page_table import PageTable
from palimpsest.engine.pages import PAGE_TOKENS, OutOfPages, Pages, Window, chain_keys, first_seen

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
