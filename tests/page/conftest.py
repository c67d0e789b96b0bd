"""A browser, a server and the page in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from chromium import PATIENCE_MS, NoBrowser, chromium, find_chromium
from page_actions import STEPS, Open
from server_process import ServerProcess, start_server, unhurried_model

from palimpsest.server.page.files import BUILT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Its canvases take `STEPS` steps each."""
    if not (BUILT / "index.html").exists():
        pytest.skip("the page is not built; run `make page`")
    try:
        find_chromium()
    except NoBrowser as missing:
        pytest.skip(str(missing))
    folder = tmp_path_factory.mktemp("page")
    model = unhurried_model(folder, steps=STEPS)
    started = start_server(folder / "log", "--model", str(model))
    yield started
    assert started.stop() == 0, started.log


# No wider scope: asynchronous tests of other modules need the thread's event loop.
@pytest.fixture(scope="module")
def browser(server: ServerProcess) -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    context = browser.new_context(accept_downloads=True)
    context.set_default_timeout(PATIENCE_MS)
    problems: list[str] = []

    def opened(address: str) -> Page:
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "console",
            lambda message: problems.append(message.text) if message.type == "error" else None,
        )
        page.goto(address)
        return page

    yield opened
    context.close()
    assert problems == []


@pytest.fixture
def page(server: ServerProcess, open_page: Open) -> Page:
    return open_page(server.url)
