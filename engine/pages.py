"""Pages of keys and values: which are free, who holds them, and which prefix they can be found by.

Layers with the same window are a group with a pool of its own. A complete page has a key that
stands for all tokens up to its end, so a sequence that begins with the same tokens can share it.
Numbers alone, no tensors: what is written into a page is up to those who hold it.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from types import MappingProxyType
from typing import TypeAlias

PAGE_TOKENS = 64

Window: TypeAlias = int | None
"""Names a group of layers: keys a causal query sees, itself included; None for all of them."""

_KEY_BYTES = 16
_TOKEN_IDS = struct.Struct(f"<{PAGE_TOKENS}I")


class OutOfPages(Exception):
    """A pool has too few pages that are free or can be evicted."""


def chain_keys(
    tokens: Sequence[int],
    previous: Sequence[bytes] = (),
    extra: Mapping[int, bytes] = MappingProxyType({}),
) -> list[bytes]:
    """Keys of all complete pages of `tokens`, the first of them known already as `previous`.

    `extra` is whatever else decides the content of a page that is not in `previous`, by index.
    """
    complete = len(tokens) // PAGE_TOKENS
    assert len(previous) <= complete, "keys of more pages than there are"
    keys = list(previous)
    for index in range(len(keys), complete):
        page = tokens[index * PAGE_TOKENS : (index + 1) * PAGE_TOKENS]
        # as long as a key, so that the parts of what is hashed can be told apart
        before = keys[-1] if keys else bytes(_KEY_BYTES)
        content = before + _TOKEN_IDS.pack(*page) + extra.get(index, b"")
        keys.append(blake2b(content, digest_size=_KEY_BYTES).digest())
    return keys


def first_seen(window: Window, position: int) -> int:
    """The first position that a query at `position`, or a canvas that starts there, can see."""
    return 0 if window is None else max(0, position - (window - 1))


class PagePool:
    """Pages 0 to count - 1. Each is free, held (has holders), or kept (has none, but a key)."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.evicted = 0
        """Kept pages that were given to somebody else since the start."""
        self._free = list(reversed(range(count)))
        self._holders = [0] * count
        # the least recently released first
        self._kept: OrderedDict[int, None] = OrderedDict()
        self._keys: dict[int, bytes] = {}
        self._pages: dict[bytes, int] = {}

    @property
    def available(self) -> int:
        """Pages that can be taken: free ones and kept ones."""
        return len(self._free) + len(self._kept)

    @property
    def held(self) -> int:
        """Pages that somebody holds."""
        return self.count - self.available

    @property
    def kept(self) -> int:
        """Pages that nobody holds and that can still be found."""
        return len(self._kept)

    def holders(self, page: int) -> int:
        """How many hold `page`."""
        return self._holders[page]

    def take(self) -> int:
        """A page with one holder; the least recently released of the kept when none is free."""
        if not self._free:
            self._evict()
        page = self._free.pop()
        self._holders[page] = 1
        return page

    def find(self, key: bytes) -> int | None:
        """The page remembered under `key`, held or kept. It may be evicted before it is shared."""
        return self._pages.get(key)

    def share(self, page: int) -> None:
        """Adds a holder to a page that is held or kept."""
        assert self._holders[page] or page in self._kept, "a free page holds nothing to share"
        self._kept.pop(page, None)
        self._holders[page] += 1

    def release(self, page: int) -> None:
        """Takes a holder away; after the last one the page is kept if it has a key, else free."""
        assert self._holders[page], "nobody holds the page"
        self._holders[page] -= 1
        if self._holders[page]:
            return
        if page in self._keys:
            self._kept[page] = None
        else:
            self._free.append(page)

    def remember(self, page: int, key: bytes) -> None:
        """Makes a held page findable; the key of another held page stays with that one."""
        assert self._holders[page], "nobody holds the page"
        known = self._pages.get(key)
        if known is not None and self._holders[known]:
            return
        if known is not None:
            # of two copies the one in use is kept, as it will be the more recently released
            self._discard(known)
        assert page not in self._keys, "the page is known under another key"
        self._keys[page] = key
        self._pages[key] = page

    def _evict(self) -> None:
        if not self._kept:
            raise OutOfPages(f"all {self.count} pages are held")
        self._discard(next(iter(self._kept)))
        self.evicted += 1

    def _discard(self, page: int) -> None:
        """Frees a kept page."""
        del self._kept[page]
        del self._pages[self._keys.pop(page)]
        self._free.append(page)


class Pages:
    """The pools of all groups of layers."""

    def __init__(self, counts: Mapping[Window, int]) -> None:
        self.pools = {window: PagePool(count) for window, count in counts.items()}

    def find_prefix(self, keys: Sequence[bytes]) -> int:
        """The most leading pages after which a query finds all that it can see, in every group."""
        count = len(keys)
        if None in self.pools:
            find = self.pools[None].find
            count = next((index for index, key in enumerate(keys) if find(key) is None), count)
        while (gap := self._gap(keys, count)) is not None:
            count = gap
        return count

    def fits(self, needed: Mapping[Window, int]) -> bool:
        """Whether every group has as many pages to take."""
        return all(count <= self.pools[window].available for window, count in needed.items())

    def _gap(self, keys: Sequence[bytes], count: int) -> int | None:
        """A page that a query right after `count` pages can see and its sliding group lacks.

        All queries between that page and this one can see it too, so none of them can be served.
        """
        for window, pool in self.pools.items():
            if window is not None:
                first = first_seen(window, count * PAGE_TOKENS) // PAGE_TOKENS
                for index in range(first, count):
                    if pool.find(keys[index]) is None:
                        return index
        return None
