"""Pictures of the page: `python screenshots.py FOLDER`, by `make screenshots`."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from chromium import PATIENCE_MS, NoBrowser, chromium
from server_process import start_server, unhurried_model

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")

NAME = "palimpsest-tiny"
STEPS = 64
"""Of a canvas: enough to take a picture in its middle."""
WIDE = (1_440, 900)
PHONE = (390, 844)
PROMPT = "write the multiplication table of 7 from 2 to 11"


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, chromium() as browser:
        model = unhurried_model(Path(scratch), steps=STEPS)
        flags = ("--model", str(model), "--served-model-name", NAME)
        server = start_server(Path(scratch) / "log", *flags)
        try:
            for scheme in SCHEMES:
                take(browser, server.url, folder / scheme, scheme, WIDE)
            take(browser, server.url, folder / "phone", "light", PHONE)
        finally:
            server.stop()


def take(browser: Browser, url: str, stem: Path, scheme: Scheme, size: tuple[int, int]) -> None:
    """Pictures of the start, the middle of a run, its end, and all that opens."""
    width, height = size
    page = browser.new_page(
        color_scheme=scheme, viewport={"width": width, "height": height}, device_scale_factor=2
    )
    page.set_default_timeout(PATIENCE_MS)
    page.goto(url)
    page.get_by_text(NAME).first.wait_for()
    shoot(page, stem, "begin")
    page.get_by_role("textbox", name="Message").fill(PROMPT)
    page.get_by_role("button", name="Send").click()
    page.get_by_text(re.compile(r"step [2-9]\d of")).first.wait_for()
    shoot(page, stem, "middle")
    page.get_by_role("button", name="Send").wait_for()
    shoot(page, stem, "end")
    page.get_by_role("slider", name="Step").press("Home")
    shoot(page, stem, "first-step")
    for name in ("Code", "Export", "Rewrite"):
        page.get_by_role("button", name=name, exact=True).click()
        shoot(page, stem, name.lower())
    page.get_by_role("button", name="Settings", exact=True).click()
    shoot(page, stem, "settings")
    page.close()


def shoot(page: Page, stem: Path, name: str) -> None:
    path = stem.with_name(f"{stem.name}-{name}.png")
    page.screenshot(path=path)
    print(path)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except NoBrowser as missing:
        sys.exit(str(missing))
