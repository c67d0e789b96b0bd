"""A canvas, watched in a real browser while it is written, and after."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from page_actions import STEPS, ask, canvas, conversation, seen, send, set_steps, slider, watch
from server_process import ServerProcess

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

expect = pytest.importorskip("playwright.sync_api").expect

COUNT = "count from 1 to 40"
STORY = "tell me a story about a storm and an owl"
"""What the model never learnt: each step has another idea."""
LONG = 1_000
"""Steps that take many seconds."""
MOST_BYTES = 300_000
TRANSFERRED = """() => ["navigation", "resource"]
  .flatMap((kind) => performance.getEntriesByType(kind))
  .map((entry) => [entry.name, entry.transferSize])"""


def test_the_page_is_painted_without_the_model(server: ServerProcess, browser: Browser) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.route("**/palimpsest.v1.*/**", lambda _: None)  # asked, never answered
        page.goto(server.url)
        expect(page.get_by_role("heading", name="Palimpsest")).to_be_visible()
        expect(page.get_by_role("textbox", name="Message")).to_be_editable()
        painted = "() => performance.getEntriesByName('first-contentful-paint').length"
        assert page.evaluate(painted) == 1


def test_all_of_the_page_is_few_bytes(page: Page) -> None:
    expect(page.get_by_text("canvas of 64")).to_be_visible()
    sizes = dict(page.evaluate(TRANSFERRED))
    assert any(name.endswith("/page.js") for name in sizes)
    assert 0 < sum(sizes.values()) <= MOST_BYTES


def test_drafts_change_and_then_settle(page: Page) -> None:
    watch(page)
    ask(page, STORY)
    drafts = [text for text in seen(page) if text.startswith("Tokens of canvas 1")]
    assert len(set(drafts)) > 2
    expect(page.get_by_text(f"step {STEPS} of {STEPS} settled")).to_be_visible()
    assert seen(page)[-1].endswith(canvas(page).text_content() or "nothing is shown")


def test_the_slider_goes_back_through_every_step(page: Page) -> None:
    ask(page, COUNT)
    step = slider(page)
    last = f"canvas 2, step {STEPS} of {STEPS}"
    expect(step).to_have_attribute("aria-valuetext", last)
    settled = canvas(page).text_content() or ""
    step.press("Home")
    # a page that is slow misses drafts, also the first
    expect(step).to_have_attribute("aria-valuetext", re.compile(rf"canvas 1, step \d+ of {STEPS}"))
    first = step.get_attribute("aria-valuetext") or ""
    expect(canvas(page)).not_to_have_text(settled)
    step.press("ArrowRight")
    expect(step).not_to_have_attribute("aria-valuetext", first)
    expect(step).to_have_attribute("aria-valuetext", re.compile(r"canvas 1, step \d"))
    step.press("PageUp")
    expect(step).to_have_attribute("aria-valuetext", re.compile("canvas 2"))
    step.press("End")
    expect(step).to_have_attribute("aria-valuetext", last)
    expect(canvas(page)).to_have_text(settled)


def test_a_run_can_be_scrubbed_while_it_is_written_and_stopped(
    page: Page, server: ServerProcess
) -> None:
    set_steps(page, LONG)
    send(page, COUNT)
    step = slider(page)
    # at its end the slider follows, and with one draft that is its beginning too
    expect(step).to_have_attribute("max", re.compile("[1-9]"))
    step.press("Home")
    expect(step).to_have_value("0")
    first = step.get_attribute("aria-valuetext") or ""
    length = step.get_attribute("max") or ""
    expect(step).not_to_have_attribute("max", length)
    expect(step).to_have_attribute("aria-valuetext", first)
    page.get_by_role("button", name="Live").click()
    expect(step).not_to_have_attribute("aria-valuetext", first)
    page.get_by_role("button", name="Stop").click()
    expect(conversation(page)).to_contain_text("stopped by you")
    set_steps(page, STEPS)
    ask(page, "reverse the word: storm")
    expect(conversation(page)).to_contain_text("mrots")
    assert "StreamGenerate" in server.log
    assert "status=CANCELLED" in server.log
