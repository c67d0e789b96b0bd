"""What a table and its pools hold."""

from __future__ import annotations

from palimpsest.engine.page_table import PageTable
from palimpsest.engine.pages import Pages, Window, first_seen


def all_ids(table: PageTable, window: Window) -> list[int]:
    """Every page that the table holds of a group."""
    return table.pages(window, first_seen(window, table.stored), table.capacity)[0]


def figures(pages: Pages) -> list[tuple[int, int, int]]:
    """Of each group: pages available, kept and evicted."""
    return [(pool.available, pool.kept, pool.evicted) for pool in pages.pools.values()]
