"""Lines of the log, for people and for programs."""

from __future__ import annotations

import io
import json
import logging
import sys

import pytest
from calls import COUNT, asking, generate
from server_process import Start

from palimpsest.server.logs import JsonLines, Text, figures


def line(formatter: logging.Formatter, *, error: bool = False, **values: str | float) -> str:
    """What is written for one record."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    record = logging.getLogger("palimpsest.test").makeRecord(
        "palimpsest.test",
        logging.INFO,
        "file",
        1,
        "said %s",
        ("ü",),
        sys.exc_info() if error else None,
        extra=figures(**values),
    )
    handler.handle(record)
    return stream.getvalue()


def test_people_read_figures_behind_what_is_said() -> None:
    written = line(Text(), request_id="r", seconds=0.12345, tokens=3)
    assert written.endswith("INFO said ü request_id=r seconds=0.123 tokens=3\n")


def test_programs_read_an_object_a_line() -> None:
    written = json.loads(line(JsonLines(), request_id="r\n", seconds=0.12345))
    assert written.pop("time").endswith("+00:00")
    assert written == {
        "level": "info",
        "logger": "palimpsest.test",
        "message": "said ü",
        "request_id": "r\n",
        "seconds": 0.12345,
    }


def test_a_traceback_stays_in_its_line() -> None:
    try:
        raise ValueError("bad")
    except ValueError:
        written = line(JsonLines(), error=True)
    assert written.count("\n") == 1
    assert "ValueError: bad" in json.loads(written)["exception"]


def test_figures_that_are_not_known_are_left_out() -> None:
    assert figures(known=1, unknown=None) == {"figures": {"known": 1}}


@pytest.mark.slow
def test_a_request_is_one_line_without_its_prompt_or_answer(start: Start) -> None:
    server = start("--log-format", "json")
    asked = asking(COUNT)
    asked.request_id = "counted"
    answer = generate(server, asked)
    [told] = [
        json.loads(line)
        for line in server.log.splitlines()
        if line.startswith("{") and "counted" in line
    ]
    assert told["message"] == "palimpsest.v1.DiffusionService/Generate"
    assert (told["status"], told["output_tokens"]) == ("OK", answer.usage.output_tokens)
    assert told["denoising_steps"] == answer.usage.denoising_steps
    assert 0 < told["first_draft_seconds"] <= told["seconds"]
    assert answer.text not in server.log
    assert COUNT not in server.log
