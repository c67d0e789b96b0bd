"""Pools of pages, the keys of their content, and which prefixes can be found."""

from __future__ import annotations

import struct

import pytest

from palimpsest.engine.pages import (
    PAGE_TOKENS,
    OutOfPages,
    PagePool,
    Pages,
    Window,
    chain_keys,
    first_seen,
)

KEYS = [bytes([index]) * 16 for index in range(8)]


def kept_pages(pool: PagePool, keys: list[bytes]) -> list[int]:
    """One page a key, released in the order of the keys."""
    pages = [pool.take() for _ in keys]
    for page, key in zip(pages, keys, strict=True):
        pool.remember(page, key)
        pool.release(page)
    return pages


def pages_with(found: dict[Window, list[int]]) -> Pages:
    """Pages of which those with these of KEYS can be found, by window."""
    pages = Pages({window: len(indices) for window, indices in found.items()})
    for window, indices in found.items():
        kept_pages(pages.pools[window], [KEYS[index] for index in indices])
    return pages


def test_a_new_pool_is_free() -> None:
    pool = PagePool(3)
    assert (pool.available, pool.held, pool.kept, pool.evicted) == (3, 0, 0, 0)


def test_every_page_can_be_taken_once() -> None:
    pool = PagePool(3)
    assert sorted(pool.take() for _ in range(3)) == [0, 1, 2]
    with pytest.raises(OutOfPages, match="all 3 pages are held"):
        pool.take()
    assert (pool.available, pool.held) == (0, 3)


def test_a_released_page_without_a_key_is_free() -> None:
    pool = PagePool(1)
    pool.release(pool.take())
    assert (pool.available, pool.held, pool.kept) == (1, 0, 0)
    pool.take()
    assert pool.evicted == 0


def test_a_released_page_with_a_key_is_kept_and_still_found() -> None:
    pool = PagePool(2)
    page = pool.take()
    pool.remember(page, KEYS[0])
    assert pool.find(KEYS[0]) == page
    pool.release(page)
    assert pool.find(KEYS[0]) == page
    assert (pool.available, pool.held, pool.kept) == (2, 0, 1)


def test_finding_a_page_does_not_hold_it() -> None:
    pool = PagePool(1)
    kept_pages(pool, KEYS[:1])
    pool.find(KEYS[0])
    assert (pool.held, pool.kept) == (0, 1)


def test_sharing_a_kept_page_holds_it_again() -> None:
    pool = PagePool(1)
    [page] = kept_pages(pool, KEYS[:1])
    pool.share(page)
    assert (pool.available, pool.held, pool.kept) == (0, 1, 0)
    with pytest.raises(OutOfPages):
        pool.take()


def test_a_page_is_held_until_its_last_holder_releases_it() -> None:
    pool = PagePool(1)
    page = pool.take()
    pool.remember(page, KEYS[0])
    pool.share(page)
    assert pool.holders(page) == 2
    pool.release(page)
    assert (pool.held, pool.kept) == (1, 0)
    pool.release(page)
    assert (pool.held, pool.kept) == (0, 1)


def test_kept_pages_are_evicted_only_when_no_page_is_free() -> None:
    pool = PagePool(2)
    kept_pages(pool, KEYS[:1])
    pool.take()
    assert pool.evicted == 0
    assert pool.find(KEYS[0]) is not None
    pool.take()
    assert pool.evicted == 1
    assert pool.find(KEYS[0]) is None


def test_the_least_recently_released_page_is_evicted_first() -> None:
    pool = PagePool(3)
    pages = kept_pages(pool, KEYS[:3])
    pool.share(pages[0])
    pool.release(pages[0])
    assert [pool.take() for _ in pages] == [pages[1], pages[2], pages[0]]


def test_an_evicted_page_can_be_remembered_under_another_key() -> None:
    pool = PagePool(1)
    kept_pages(pool, KEYS[:1])
    kept_pages(pool, KEYS[1:2])
    assert [pool.find(key) for key in KEYS[:2]] == [None, 0]


def test_a_key_stays_with_the_page_that_is_held() -> None:
    pool = PagePool(2)
    first, second = pool.take(), pool.take()
    pool.remember(first, KEYS[0])
    pool.remember(second, KEYS[0])
    assert pool.find(KEYS[0]) == first
    pool.release(second)
    assert (pool.held, pool.kept) == (1, 0)


def test_remembering_a_page_twice_changes_nothing() -> None:
    pool = PagePool(1)
    page = pool.take()
    pool.remember(page, KEYS[0])
    pool.remember(page, KEYS[0])
    assert pool.find(KEYS[0]) == page


def test_a_copy_in_use_takes_the_key_of_a_page_that_is_only_kept() -> None:
    pool = PagePool(2)
    [old] = kept_pages(pool, KEYS[:1])
    new = pool.take()
    pool.remember(new, KEYS[0])
    assert pool.find(KEYS[0]) == new
    assert (pool.available, pool.kept) == (1, 0)
    assert pool.take() == old
    assert pool.evicted == 0


def test_only_complete_pages_have_keys() -> None:
    counts = [0, 1, PAGE_TOKENS - 1, PAGE_TOKENS, 2 * PAGE_TOKENS - 1, 2 * PAGE_TOKENS]
    assert [len(chain_keys([7] * count)) for count in counts] == [0, 0, 0, 1, 1, 2]


def test_keys_have_16_bytes() -> None:
    assert [len(key) for key in chain_keys([7] * 200)] == [16, 16, 16]


def test_a_key_depends_on_every_token_up_to_the_end_of_its_page_and_on_none_behind_it() -> None:
    tokens = list(range(3 * PAGE_TOKENS))
    keys = chain_keys(tokens)
    for position in (0, PAGE_TOKENS - 1, PAGE_TOKENS, 2 * PAGE_TOKENS - 1, 2 * PAGE_TOKENS):
        other = chain_keys([*tokens[:position], 262_143, *tokens[position + 1 :]])
        changed = [a != b for a, b in zip(keys, other, strict=True)]
        assert changed == [position < end * PAGE_TOKENS for end in (1, 2, 3)]


def test_pages_with_the_same_tokens_at_different_places_have_different_keys() -> None:
    assert len(set(chain_keys([7] * 4 * PAGE_TOKENS))) == 4


def test_a_key_depends_on_what_else_decides_the_content() -> None:
    tokens = [7] * PAGE_TOKENS
    assert chain_keys(tokens, extra={0: b"picture"}) != chain_keys(tokens)


def test_a_first_page_cannot_pass_for_a_later_one() -> None:
    first, second = chain_keys([7] * 2 * PAGE_TOKENS)
    imitation = [*struct.unpack("<4I", first), *[7] * (PAGE_TOKENS - 4)]
    assert chain_keys(imitation, extra={0: struct.pack("<4I", 7, 7, 7, 7)}) != [second]


def test_keys_can_be_continued() -> None:
    tokens = list(range(5 * PAGE_TOKENS + 3))
    keys = chain_keys(tokens)
    for count in range(6):
        assert chain_keys(tokens, previous=keys[:count]) == keys


def test_continuing_does_not_hash_the_first_pages_again() -> None:
    keys = chain_keys([7] * 3 * PAGE_TOKENS, previous=KEYS[:2])
    assert keys[:2] == KEYS[:2]
    assert keys[2:] == chain_keys([8] * 2 * PAGE_TOKENS + [7] * PAGE_TOKENS, previous=KEYS[:2])[2:]


@pytest.mark.parametrize(
    ("window", "position", "first"),
    [(None, 500, 0), (100, 0, 0), (100, 99, 0), (100, 100, 1), (100, 164, 65), (1, 50, 50)],
)
def test_a_query_sees_its_window_less_itself(window: Window, position: int, first: int) -> None:
    assert first_seen(window, position) == first


@pytest.mark.parametrize(
    ("found", "prefix"),
    [
        ({None: []}, 0),
        ({None: [0, 1, 2]}, 3),
        ({None: [0, 1, 3]}, 2),
        ({None: [1, 2, 3]}, 0),
        # a query at 64 n sees the last 99 positions: two pages, where there are two
        ({100: [0, 1, 2]}, 3),
        ({100: [1, 2]}, 3),
        ({100: [0, 2, 3, 5]}, 4),
        ({100: [0, 2, 4]}, 1),
        ({100: [5]}, 0),
        ({None: [0, 1, 2, 3], 100: [1, 2]}, 3),
        ({None: [0, 1], 100: [0, 1, 2, 3]}, 2),
        ({None: [0, 1, 2], 100: [0, 3, 4]}, 1),
        ({None: [0, 1, 2], 100: [3, 4]}, 0),
        ({None: [0, 1, 2, 3, 4], 65: [3], 66: [2, 3]}, 4),
        ({None: [0, 1, 2, 3, 4], 65: [3], 66: [3, 4]}, 0),
        ({None: [0, 1], 1: []}, 2),
    ],
)
def test_a_prefix_is_found_if_a_query_behind_it_finds_all_it_can_see(
    found: dict[Window, list[int]], prefix: int
) -> None:
    assert pages_with(found).find_prefix(KEYS) == prefix


def test_no_prefix_is_longer_than_its_keys() -> None:
    pages = pages_with({None: [0, 1, 2]})
    assert [pages.find_prefix(KEYS[:count]) for count in range(4)] == [0, 1, 2, 3]


def test_finding_a_prefix_holds_nothing() -> None:
    pages = pages_with({None: [0, 1, 2]})
    pages.find_prefix(KEYS)
    assert (pages.pools[None].held, pages.pools[None].kept) == (0, 3)


def test_pages_fit_if_every_group_has_them() -> None:
    pages = Pages({None: 2, 100: 1})
    assert pages.fits({None: 2, 100: 1})
    assert not pages.fits({None: 2, 100: 2})
    assert not pages.fits({None: 3, 100: 1})


def test_kept_pages_count_as_room() -> None:
    assert pages_with({None: [0, 1]}).fits({None: 2})
