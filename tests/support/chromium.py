"""A real browser, driven by Playwright; the system's own, so nothing is downloaded."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE_MS = 60_000
"""How long a page may take over anything; a machine may be busy."""


class NoBrowser(Exception):
    """Says what to install."""


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Raises NoBrowser."""
    try:
        from playwright.sync_api import expect, sync_playwright
    except ImportError:
        raise NoBrowser("no Playwright here; `pip install playwright`") from None
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        raise NoBrowser("no Chromium here; install the system's package `chromium`")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        # Its sandbox needs rights that containers and root do not give.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()
