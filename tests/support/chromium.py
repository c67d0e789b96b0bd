"""A real browser, driven by Playwright; the system's own, so nothing is downloaded."""

from __future__ import annotations

import contextlib
import importlib.util
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


def find_chromium() -> str:
    """The path of one that can be driven. Raises NoBrowser."""
    if importlib.util.find_spec("playwright") is None:
        raise NoBrowser("no Playwright here; `pip install playwright`")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        raise NoBrowser("no Chromium here; install the system's package `chromium`")
    return path


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Raises NoBrowser. Until its end no other event loop runs in this thread."""
    path = find_chromium()
    # Not at the top: it may not be there.
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        # Its sandbox needs rights that containers and root do not give.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()
