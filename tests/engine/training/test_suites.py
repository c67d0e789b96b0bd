"""Held-out questions as suites: what is written is what was drawn."""

from __future__ import annotations

import json
from pathlib import Path

from palimpsest.engine.training.items import held_out_items
from palimpsest.engine.training.skills import SKILLS
from palimpsest.engine.training.suites import DEFAULT_ITEMS, SEED, write
from palimpsest.evaluation import suite


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
    committed = {path.stem: path.read_text() for path in suite.BUNDLED_FOLDER.iterdir()}
    write(tmp_path, list(committed), count=DEFAULT_ITEMS)

    assert {path.stem: path.read_text() for path in tmp_path.iterdir()} == committed


def test_a_plain_question_is_a_short_line(tmp_path: Path) -> None:
    write(tmp_path, ["add"], count=1)
    line = json.loads((tmp_path / "add.jsonl").read_text())

    assert set(line) == {"prompt", "expected"}
