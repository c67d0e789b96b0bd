"""What else the page is used for: images, files, code, rewriting."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from page_actions import Open, ask, canvas, conversation, open_panel, send, slider
from server_process import ServerProcess

if TYPE_CHECKING:
    from playwright.sync_api import Page

expect = pytest.importorskip("playwright.sync_api").expect

REVERSE = "reverse the word: storm"
CIRCLE = Path(__file__).parents[1] / "server/openai/circle.png"


def saved(page: Page, button: str, folder: Path) -> Path:
    """The file that a button saves."""
    with page.expect_download() as downloading:
        page.get_by_role("button", name=button).click()
    path = folder / downloading.value.suggested_filename
    downloading.value.save_as(path)
    return path


def test_an_image_is_shown_sent_and_answered(page: Page) -> None:
    page.get_by_label("Image files").set_input_files(CIRCLE)
    expect(page.get_by_role("img", name="image 1")).to_be_visible()
    ask(page, "what colour is the circle?")
    expect(page.get_by_role("img", name="image 1 of your message")).to_be_visible()
    expect(conversation(page)).to_contain_text("red")


def test_a_file_that_is_no_image_is_refused_by_its_place(page: Page, tmp_path: Path) -> None:
    image = tmp_path / "cut.png"
    image.write_bytes(CIRCLE.read_bytes()[:100])
    page.get_by_label("Image files").set_input_files(image)
    send(page, "what colour is the circle?")
    expect(page.get_by_role("alert")).to_contain_text("input.prompt.chat.messages[0].parts")


def test_a_conversation_outlives_a_reload(page: Page) -> None:
    ask(page, REVERSE)
    page.reload()
    expect(conversation(page)).to_contain_text(REVERSE)
    expect(conversation(page)).to_contain_text("mrots")
    ask(page, "reverse the word: canvas")
    expect(conversation(page)).to_contain_text("savnac")


@pytest.mark.parametrize("seed", ["0", "7"])
def test_an_answer_is_written_again_with_its_seed_after_a_reload(page: Page, seed: str) -> None:
    page.get_by_role("button", name="Settings", exact=True).click()
    page.get_by_role("textbox", name="seed").fill(seed)
    ask(page, REVERSE)
    page.reload()
    run = page.get_by_role("region", name="Run", exact=True)
    again = run.get_by_role("button", name="Write it again with its seed")
    expect(run).to_have_text("There are no drafts of this answer.Write it again with its seed")
    again.click()
    expect(canvas(page)).to_contain_text("mrots")


def test_a_run_is_saved_as_json(page: Page, tmp_path: Path) -> None:
    ask(page, REVERSE)
    open_panel(page, "Export")
    path = saved(page, "Save as JSON", tmp_path)
    file = json.loads(path.read_text())
    run = file["run"]
    assert (file["format"], run["state"], run["answer"]["text"]) == (
        "palimpsest-run",
        "finished",
        "mrots",
    )
    assert re.fullmatch(r"\d+", run["answer"]["seed"])
    assert path.name == f"palimpsest-{run['answer']['requestId']}.json"
    assert all(frame["draft"]["tokens"]["ids"] for frame in run["canvases"][0]["frames"])


def test_a_replay_opens_from_a_file_and_asks_nobody(
    page: Page, open_page: Open, tmp_path: Path
) -> None:
    ask(page, REVERSE)
    settled = canvas(page).text_content() or ""
    open_panel(page, "Export")
    path = saved(page, "Save as replay", tmp_path)
    asked: list[str] = []
    page.context.on("request", lambda request: asked.append(request.url))
    replay = open_page(path.as_uri())
    expect(canvas(replay)).to_have_text(settled)
    expect(conversation(replay)).to_contain_text("mrots")
    slider(replay).press("Home")
    expect(slider(replay)).to_have_value("0")
    expect(slider(replay)).to_have_attribute("aria-valuetext", re.compile(r"canvas 1, step \d+ of"))
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


def test_a_selection_is_rewritten_and_the_rest_stays(page: Page) -> None:
    ask(page, "count from 1 to 12")
    open_panel(page, "Rewrite")
    tokens = page.get_by_role("listbox", name="Tokens of canvas 1")
    tokens.press("Home")
    for _ in range(2):
        tokens.press("Shift+ArrowRight")
    expect(tokens.get_by_role("option", selected=True)).to_have_count(3)
    page.get_by_role("button", name="Rewrite the selection").click()
    rewritten = page.get_by_role("region", name="Rewritten")
    rewritten.get_by_role("button", name="Copy the seed").wait_for()
    expect(rewritten).to_contain_text("3 4 5 6 7 8 9 10 11 12")


@pytest.mark.parametrize("language", ["curl", "Python"])
def test_the_code_that_is_shown_gives_the_answer(
    page: Page, server: ServerProcess, language: str
) -> None:
    if language == "curl" and shutil.which("curl") is None:
        pytest.skip("there is no curl here")
    ask(page, REVERSE)
    open_panel(page, "Code")
    page.get_by_role("button", name=language, exact=True).click()
    code = page.locator("pre").last.inner_text()
    port = server.address.rpartition(":")[2]
    program = ["sh", "-c", code] if language == "curl" else [sys.executable, "-c", code]
    program[-1] = program[-1].replace(":50051", f":{port}")  # what is on the page is the default
    printed = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    assert "mrots" in printed
