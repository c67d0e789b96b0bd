"""Suites that a test writes, and runs of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from palimpsest import arguments
from palimpsest.evaluation import command

WriteSuite = Callable[..., str]
"""Takes lines, or prompts to be repeated, and the suite's `name`."""
ADD = {"prompt": "add 27 and 48", "expected": "75"}
REVERSE = {"prompt": "reverse the word: canvas", "expected": "savnac"}
WRONG = {"prompt": "add 20 and 22", "expected": "never that"}


def evaluate(address: str, *flags: str | Path) -> int:
    args = arguments.parse(["eval", "--address", address, *map(str, flags)])
    return command.run(command.plan(args), address)


def result(capsys: pytest.CaptureFixture[str], address: str, *flags: str | Path) -> Any:  # noqa: ANN401 - JSON
    assert evaluate(address, *flags, "--json") == 0
    return json.loads(capsys.readouterr().out)
