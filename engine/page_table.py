"""The pages of one sequence: which page holds which of its positions, in every group of layers."""

from __future__ import annotations

from collections.abc import Sequence

from palimpsest.engine.commands import Picture
from palimpsest.engine.pages import PAGE_TOKENS, OutOfPages, Pages, Window, first_seen
from palimpsest.engine.vision.blocks import uncut


class PageTable:
    """Positions below `capacity` have a page, except those that no query at `stored` can see.

    `extend` before a pass that writes, `advance` after it. What lies behind `stored` belongs to
    this sequence alone and may be overwritten as often as it likes.
    """

    def __init__(self, pages: Pages) -> None:
        self.stored = 0
        """Tokens whose keys and values are written."""
        self.capacity = 0
        """Tokens that fit without another page; whole pages, the same in every group."""
        self.version = 0
        """Another one whenever pages may have changed."""
        self._pages = pages
        # in order of position, from the page of the first position that a query at `stored` sees
        self._ids: dict[Window, list[int]] = {window: [] for window in pages.pools}

    def adopt(self, keys: Sequence[bytes], pictures: Sequence[Picture] = ()) -> int:
        """Shares the longest cached prefix of an empty table's sequence; returns its tokens.

        `keys` are those of the complete pages that may be shared (`chain_keys`). None of the
        `pictures` is cut: the rest of it would see pages that a window has dropped.
        """
        assert not self.capacity, "only an empty table can begin with the pages of others"
        self.version += 1
        count = self._pages.find_prefix(keys)
        while (whole := uncut(pictures, count * PAGE_TOKENS) // PAGE_TOKENS) < count:
            count = self._pages.find_prefix(keys[:whole])
        self.stored = self.capacity = count * PAGE_TOKENS
        for window, pool in self._pages.pools.items():
            for key in keys[self._first(window) : count]:
                page = pool.find(key)
                assert page is not None, "find_prefix has found it"
                pool.share(page)
                self._ids[window].append(page)
        return self.stored

    def needed(self, count: int) -> dict[Window, int]:
        """Pages that `extend(count)` would take from each group."""
        missing = max(0, self.stored + count - self.capacity)
        return dict.fromkeys(self._pages.pools, _whole_pages(missing))

    def extend(self, count: int) -> None:
        """Makes room for `count` tokens behind `stored`, in every group.

        Raises OutOfPages, with nothing taken or evicted, when a group has too few pages.
        """
        needed = self.needed(count)
        if not self._pages.fits(needed):
            available = {window: pool.available for window, pool in self._pages.pools.items()}
            raise OutOfPages(f"{count} tokens need {needed} pages by window, of {available}")
        self.version += 1
        for window, pool in self._pages.pools.items():
            self._ids[window] += [pool.take() for _ in range(needed[window])]
        self.capacity = max(self.capacity, _whole_pages(self.stored + count) * PAGE_TOKENS)

    def advance(self, count: int, keys: Sequence[bytes]) -> None:
        """The next `count` tokens are written: remembers complete pages, drops unseen ones.

        `keys` are those of all complete pages so far, the new ones included.
        """
        stored = self.stored + count
        assert stored <= self.capacity, "written where there is no page"
        complete = range(self.stored // PAGE_TOKENS, stored // PAGE_TOKENS)
        assert len(keys) >= complete.stop, "a complete page has no key"
        self.version += 1
        for window, pool in self._pages.pools.items():
            ids, first = self._ids[window], self._first(window)
            for index in complete:
                pool.remember(ids[index - first], keys[index])
            unseen = first_seen(window, stored) // PAGE_TOKENS - first
            self._give_back(window, ids[:unseen])
            del ids[:unseen]
        self.stored = stored

    def release(self) -> None:
        """Gives all pages back; the table is empty afterwards and can be used again."""
        self.version += 1
        for window, ids in self._ids.items():
            self._give_back(window, ids)
            ids.clear()
        self.stored = self.capacity = 0

    def page_of(self, window: Window, position: int) -> int:
        """The page that holds `position`."""
        return self.pages(window, position, position + 1)[0][0]

    def pages(self, window: Window, start: int, end: int) -> tuple[list[int], int]:
        """The pages of positions start to end - 1, and where in the first of them `start` is."""
        first = self._first(window)
        assert first * PAGE_TOKENS <= start <= end <= self.capacity, "positions without a page"
        ids = self._ids[window][start // PAGE_TOKENS - first : _whole_pages(end) - first]
        return ids, start % PAGE_TOKENS

    def _first(self, window: Window) -> int:
        """The index of the first page that is not dropped; it follows from `stored`."""
        return first_seen(window, self.stored) // PAGE_TOKENS

    def _give_back(self, window: Window, ids: Sequence[int]) -> None:
        # The last page first, so that it is evicted first: more sequences share a head than a tail.
        for page in reversed(ids):
            self._pages.pools[window].release(page)


def _whole_pages(tokens: int) -> int:
    return -(-tokens // PAGE_TOKENS)
