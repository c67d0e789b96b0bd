"""`palimpsest decide`: as a process in a pipe, and what its scores look like on a terminal."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys

import pytest
from serving import Serve

from palimpsest.console import Console
from palimpsest.deciding import BAR_CELLS, show
from palimpsest.decisions import Decision, Decisions, LabelScore
from palimpsest.events import Usage
from tests.clients.unfinished import PATIENCE_S, Unfinished

COMMAND = (sys.executable, "-m", "palimpsest.cli", "decide")
SHARED = "count the letter "
FLAGS = ("--question", "a in banana", "--question", "x in fox", "--labels", "0,1,2,3")


def decide(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*COMMAND, *arguments], input=stdin.encode(), capture_output=True, check=False
    )


def test_in_a_pipe_the_best_label_of_each_question_comes_out(server_address: str) -> None:
    result = decide(SHARED, *FLAGS, "--seed", "7", "--address", server_address)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"3\n1\n", b"")


def test_the_prompt_can_come_from_the_standard_input(server_address: str) -> None:
    flags = ("--label", "3", "--label", "1,5", "--address", server_address)
    result = decide("-", *flags, stdin="count the letter a in banana\n")
    assert (result.returncode, result.stdout) == (0, b"3\n")


def test_json_tells_every_score_and_what_it_took(server_address: str) -> None:
    options = ("--steps", "2", "--calibration-temperature", "0.5", "--seed", "7")
    result = decide(SHARED, *FLAGS, *options, "--json", "--address", server_address)
    first, second, completed = (json.loads(line) for line in result.stdout.splitlines())
    assert [each["event"] for each in (first, second)] == ["decision", "decision"]
    assert (first["question"], first["best"]) == ("a in banana", "3")
    assert [score["label"] for score in second["scores"]] == ["0", "1", "2", "3"]
    assert sum(score["probability"] for score in second["scores"]) == pytest.approx(1.0)
    assert completed["event"] == "completed"
    assert completed["seed"] == 7
    assert completed["usage"]["denoising_steps"] == 4


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["hello"], "questions[0].labels"),
        (["hello", "--labels", "one"], "questions[0].labels"),
        (["hello", "--labels", "a,b,a"], "questions[0].labels[2]"),
        (["hello", "--labels", "a,"], "questions[0].labels[1]"),
        (["hello", "--labels", "a,b", "--steps", "0"], "denoising_steps"),
        (["hello", "--labels", "a,b", "--calibration-temperature", "nan"], "calibration"),
        (["hello", "--labels", "a,b", "--seed", "-1"], "seed"),
        (["", "--labels", "a,b"], "prompt.chat.messages[0].parts"),
    ],
)
def test_bad_input_ends_with_code_2_and_one_line(
    server_address: str, flags: list[str], complaint: str
) -> None:
    result = decide(*flags, "--address", server_address)
    assert (result.returncode, result.stdout) == (2, b"")
    [line] = result.stderr.decode().splitlines()
    assert line.startswith("palimpsest: ")
    assert complaint in line


def test_nobody_at_the_address_ends_with_code_1_and_one_line() -> None:
    result = decide("hello", "--labels", "a,b", "--address", "127.0.0.1:1")
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_call_without_a_word(
    serve: Serve, number: signal.Signals, code: int
) -> None:
    unfinished = Unfinished()
    with subprocess.Popen(
        [*COMMAND, "hello", "--labels", "a,b", "--address", serve(unfinished)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert unfinished.asked.acquire(timeout=PATIENCE_S)
        process.send_signal(number)
        assert process.communicate(timeout=PATIENCE_S) == (b"", b"")
    assert process.returncode == code
    assert unfinished.ended.acquire(timeout=PATIENCE_S)


def test_help_shows_examples() -> None:
    result = decide("--help")
    assert result.returncode == 0
    assert "examples:\n  palimpsest decide" in result.stdout.decode()


def shown(*shares: float, labels: tuple[str, ...], width: int = 80) -> list[str]:
    """The lines of one question on a terminal without colours."""
    scores = tuple(
        LabelScore(label=label, log_probability=-1.5, probability=share)
        for label, share in zip(labels, shares, strict=True)
    )
    decided = Decisions(
        request_id="r",
        model="m",
        decisions=(Decision(scores=scores, best_index=shares.index(max(shares))),),
        seed=7,
        usage=Usage(
            prompt_tokens=70,
            cached_prompt_tokens=64,
            output_tokens=0,
            thinking_tokens=0,
            canvases=1,
            denoising_steps=1,
        ),
        duration_s=0.148,
    )
    out = io.StringIO()
    show(Console(file=out, width=width, highlight=False), ["who?"], decided)
    return out.getvalue().splitlines()


def test_a_bar_is_as_long_as_its_share_of_the_whole() -> None:
    question, yes, no, _, took = shown(0.75, 0.25, labels=("yes", "no"))
    assert question == "> who?"
    assert yes.count("━") == round(0.75 * BAR_CELLS)
    assert yes.count("━") + yes.count("╌") == no.count("━") + no.count("╌") == BAR_CELLS
    assert yes.startswith("yes ")
    assert "75.0%" in yes
    assert "25.0%" in no
    assert "log p -1.50" in yes
    assert took == "70 prompt tokens, 64 of them cached · 1 steps · 148 ms · seed 7"


def test_a_long_label_is_folded_and_no_bar_is_cut() -> None:
    lines = shown(0.5, 0.5, labels=("long " * 30, "no"), width=70)
    assert all(len(line) <= 70 for line in lines[:-1])
    assert sum(line.count("━") for line in lines) == BAR_CELLS


def test_what_a_terminal_would_obey_is_not_written() -> None:
    assert not any("\x1b" in line for line in shown(0.5, 0.5, labels=("\x1b[2J", "[bold]no[/]")))
    assert any("[bold]no[/]" in line for line in shown(0.5, 0.5, labels=("a", "[bold]no[/]")))
