"""`palimpsest eval` from flags to what it prints, writes and exits with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from clerk import Clerk
from evaluating import ADD, REVERSE, WRONG, WriteSuite, evaluate, result
from serving import Serve

from palimpsest import arguments
from palimpsest.cli import EXIT_BROKEN_PIPE
from palimpsest.evaluation import command
from palimpsest.evaluation.lines import BadInput

COMMAND = (sys.executable, "-m", "palimpsest.cli", "eval")


def test_out_writes_run_items_table_and_plot(
    serve: Serve, suite: WriteSuite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "folder"
    bad = {"prompt": "one", "expected": "two", "id": "x"}
    paths = (suite("one", "one two", bad, name="a"), suite("three", "fail", name="b"))
    address = serve(Clerk())
    evaluate(address, "--suite", *paths, "--out", out, "--json")
    run = json.loads((out / "run.json").read_text())
    assert run == json.loads(capsys.readouterr().out)
    lines = (out / "items.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == run["items"]
    assert [item["answer"] for item in run["items"]] == ["one", "onetwo", "one", "three", None]
    table = (out / "table.md").read_text()
    assert "| a | 2/3 | 66.7 % |" in table
    assert "| all | 3/5 | 60.0 % |" in table
    assert '- a, wrong: "one" → "one", expected "two"\n' in table
    assert (out / "accuracy.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_is_compared_with_an_earlier_one(
    serve: Serve, suite: WriteSuite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address, path = serve(Clerk()), suite("one", "two three", WRONG | {"id": "x"}, "four")
    base = tmp_path / "base"
    evaluate(address, "--suite", path, "--out", base)
    capsys.readouterr()
    same = result(capsys, address, "--suite", path, "--compare", base)
    [skill] = same["comparison"]["skills"]
    assert (skill["paired"], skill["recovery"], skill["difference"]["value"]) == (True, 1.0, 0.0)
    worse = suite("one", {"prompt": "two three", "expected": "six"}, WRONG | {"id": "x"}, "four")
    flags = ("--suite", worse, "--compare", base / "run.json", "--out", tmp_path / "worse")
    assert evaluate(address, *flags, "--seed", "9") == 0
    shown = capsys.readouterr().out
    # The item with another answer is another item, so three pairs are left.
    assert "3 pairs" in shown
    assert "seed 0 → 9" in shown
    assert "beside clerk" in shown
    assert "## Beside clerk" in (tmp_path / "worse" / "table.md").read_text()


def test_a_base_that_cannot_be_compared_with_is_refused(
    serve: Serve, suite: WriteSuite, tmp_path: Path
) -> None:
    evaluate(serve(Clerk()), "--suite", suite("one"), "--out", tmp_path / "base")
    other = suite("one", name="other")
    (tmp_path / "half.json").write_text('{"about": {}}')
    for base, complaint in [
        ("base", "none of the skills"),
        ("gone", "cannot be read"),
        ("half.json", "is no run"),
        ("other.jsonl", "is no run"),
    ]:
        args = arguments.parse(["eval", "--suite", other, "--compare", str(tmp_path / base)])
        with pytest.raises(BadInput, match=complaint):
            command.plan(args)


def test_a_skill_below_what_is_required_is_named(
    serve: Serve, suite: WriteSuite, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = (suite("one", "two", name="good"), suite("one", WRONG, name="poor"))
    address = serve(Clerk())
    assert evaluate(address, "--suite", *paths, "--require", "0.5") == 0
    assert capsys.readouterr().err == ""
    assert evaluate(address, "--suite", *paths, "--require", "0.51") == 1
    assert capsys.readouterr().err == "palimpsest: below 51.0%: poor at 50.0%\n"


@pytest.mark.parametrize(
    "flags",
    [
        ["--items", "0"],
        ["--concurrency", "0"],
        ["--concurrency", "many"],
        ["--seed", "-1"],
        ["--require", "95"],
        ["--require", "nan"],
        ["--thinking", "maybe"],
    ],
)
def test_a_flag_out_of_bounds_ends_with_code_2_and_one_line(
    flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        arguments.parse(["eval", *flags])
    assert caught.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert flags[0] in line


def test_the_command_answers_in_a_pipe(server_address: str, suite: WriteSuite) -> None:
    flags = ("--suite", suite(ADD, REVERSE), "--address", server_address, "--require", "1")
    done = subprocess.run([*COMMAND, *flags], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "palimpsest-tiny" in done.stdout
    assert "2/2" in done.stdout
    assert "\x1b" not in done.stdout


def test_a_bad_suite_ends_the_command_with_code_2_and_one_line(suite: WriteSuite) -> None:
    path = suite(ADD | {"matcher": "fuzzy"})
    done = subprocess.run([*COMMAND, "--suite", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert line.startswith(f"palimpsest: {path}:1: matcher: ")


def test_ctrl_c_prints_what_is_there(serve: Serve, suite: WriteSuite, tmp_path: Path) -> None:
    clerk, path = Clerk(), suite("one", "hold", "never sent")
    flags = ("--address", serve(clerk), "--concurrency", "1", "--out", str(tmp_path / "out"))
    with subprocess.Popen(
        [*COMMAND, "--suite", path, *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert clerk.holding.wait(60)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert (process.returncode, err) == (130, "")
    assert "1/1" in out
    assert "**interrupted**" in (tmp_path / "out" / "table.md").read_text()
    assert "never sent" not in clerk.seeds


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_run_nobody_reads_has_written_its_files(
    serve: Serve, suite: WriteSuite, tmp_path: Path, form: tuple[str, ...]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    flags = ("--address", serve(Clerk()), "--suite", suite("one"), "--out", str(tmp_path / "out"))
    command = [*COMMAND, *flags, *form]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (EXIT_BROKEN_PIPE, b"")
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {"run.json", "items.jsonl", "table.md", "accuracy.png"}


def test_without_matplotlib_everything_but_the_plot_is_written(
    serve: Serve,
    suite: WriteSuite,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    evaluate(serve(Clerk()), "--suite", suite("one"), "--out", tmp_path / "out")
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {"run.json", "items.jsonl", "table.md"}
    assert "pip install 'palimpsest[eval]'" in capsys.readouterr().err


def test_only_a_plot_loads_matplotlib() -> None:
    code = "import sys, palimpsest.evaluation.command; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
