"""What a person does with the page, by the roles and names that everything on it has."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

STEPS = 24
"""Of each canvas of the tests' server: enough to see it change."""

Open = Callable[[str], "Page"]
"""Opens an address in a page of its own; the test fails if that page reports an error."""

WATCH = """() => {
  const texts = [];
  const look = () => {
    const canvas = document.querySelector('[role=group][aria-label^="Tokens of canvas"]');
    const shown = canvas && canvas.ariaLabel + ": " + canvas.textContent;
    if (shown && shown !== texts.at(-1)) texts.push(shown);
  };
  new MutationObserver(look).observe(document.body, {
    subtree: true, childList: true, characterData: true,
  });
  window.seen = texts;
}"""


def watch(page: Page) -> None:
    """Remember every text that a canvas shows from now on, for `seen`."""
    page.evaluate(WATCH)


def seen(page: Page) -> list[str]:
    return page.evaluate("() => window.seen")


def send(page: Page, prompt: str) -> None:
    page.get_by_role("textbox", name="Message").fill(prompt)
    page.get_by_role("button", name="Send").click()


def ask(page: Page, prompt: str) -> None:
    """Send a message, and wait for its whole answer."""
    ended = page.get_by_role("button", name="Copy the seed")
    before = ended.count()
    send(page, prompt)
    ended.nth(before).wait_for()


def set_steps(page: Page, steps: int) -> None:
    """Of each canvas, from now on."""
    page.get_by_role("button", name="Settings", exact=True).click()
    page.get_by_role("textbox", name="max denoising steps").fill(str(steps))
    page.get_by_role("button", name="Settings", exact=True).click()


def canvas(page: Page) -> Locator:
    return page.get_by_role("group", name=re.compile("Tokens of canvas"))


def slider(page: Page) -> Locator:
    return page.get_by_role("slider", name="Step")


def conversation(page: Page) -> Locator:
    return page.get_by_role("region", name="Conversation")


def open_panel(page: Page, name: str) -> None:
    """What is under the last answer: Rewrite, Code or Export."""
    page.get_by_role("button", name=name, exact=True).last.click()
