"""The pages of sequences, rule by rule."""

from __future__ import annotations

import pytest
from page_tables import all_ids, figures

from palimpsest.engine.page_table import PageTable
from palimpsest.engine.pages import OutOfPages, Pages, Window, chain_keys

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
