"""Held-out questions as suites: what is written is what was drawn."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from pathlib import Path

from PIL import Image

from palimpsest.engine.training.items import held_out_items
from palimpsest.engine.training.skills import SKILLS
from palimpsest.engine.training.suites import DEFAULT_ITEMS, SEED, write
from palimpsest.evaluation import suite

PICTURE = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=]+)")


def test_a_suite_has_the_held_out_questions_and_is_read_by_the_evaluation(tmp_path: Path) -> None:
    write(tmp_path, list(SKILLS), count=5)
    paths = [str(tmp_path / f"{skill}.jsonl") for skill in SKILLS]
    asked = suite.load(paths, skills=None, items=None)
    drawn = [item for skill in SKILLS for item in held_out_items(SKILLS[skill], 5, SEED)]

    assert [item.skill for item in asked] == [skill for skill in SKILLS for _ in range(5)]
    for question, item in zip(asked, drawn, strict=True):
        said, drawn_said = question.messages[-1].get("content", ""), item.messages[-1]["content"]
        assert said == (drawn_said[-1]["text"] if item.media else drawn_said) or item.tools
        assert bool(question.enable_thinking) is item.thinking
        if item.call is None:
            assert question.expected == item.answer
        else:
            assert question.expected[0]["name"] == item.call.name
            assert question.expected[0]["arguments"] == item.call.arguments


def test_the_bundled_suites_are_what_the_command_writes(tmp_path: Path) -> None:
    committed = _looked_at(suite.BUNDLED_FOLDER)
    write(tmp_path, list(SKILLS), count=DEFAULT_ITEMS)

    assert set(committed) == set(SKILLS)
    assert _looked_at(tmp_path) == committed


def _looked_at(folder: Path) -> dict[str, str]:
    """Suites by skill, with a hash of the pixels of each picture in the place of its file, which
    libraries compress differently.
    """
    texts = {path.stem: path.read_text() for path in folder.iterdir()}
    return {skill: PICTURE.sub(_pixels, text) for skill, text in texts.items()}


def _pixels(url: re.Match[str]) -> str:
    with Image.open(io.BytesIO(base64.b64decode(url[1]))) as picture:
        return hashlib.sha256(f"{picture.size}".encode() + picture.tobytes()).hexdigest()


def test_a_plain_question_is_a_short_line(tmp_path: Path) -> None:
    write(tmp_path, ["add"], count=1)
    line = json.loads((tmp_path / "add.jsonl").read_text())

    assert set(line) == {"prompt", "expected"}
