"""`python -m palimpsest.engine.simulation`: what it prints, writes and refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from palimpsest.engine.simulation.__main__ import main

QUICK = ["--requests", "20", "--rate", "4"]


def test_it_prints_tables_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QUICK, "2", "--load", "flood", "--replicas", "2"]) == 0
    out = capsys.readouterr().out
    title = "load flood, 20 requests, 2 engines, least-loaded of h200-fp8 (predicted, not measured)"
    assert out.startswith(title)
    for word in ("requests/s", "steady", "flood", "p50 / p90 / p99"):
        assert word in out


def test_it_prints_everything_as_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QUICK, "2", "--json", "--load", "flood"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["about"]["load"] == "flood"
    assert [run["rate"] for run in document["runs"]] == [2.0, 4.0]
    (kind, *_) = document["runs"][0]["kinds"]
    assert set(kind) == {"name", "requests", "queue", "first_draft", "first_commit", "total"}
    assert set(kind["queue"]) == {"p50", "p90", "p99"}


def test_it_writes_the_run_and_its_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    folder = tmp_path / "a" / "b"
    assert main([*QUICK, "8", "--load", "flood", "--out", str(folder), "--json"]) == 0
    names = {"run.json", "rates.png", "queues.png", "service.png"}
    assert {path.name for path in folder.iterdir()} == names
    written = json.loads((folder / "run.json").read_text())
    assert written == json.loads(capsys.readouterr().out)
    for name in names - {"run.json"}:
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rate", "0"], "argument --rate: '0' is not a number above 0"),
        (["--rate", "nan"], "argument --rate: 'nan' is not a number above 0"),
        (["--requests", "1.5"], "--requests: '1.5' is not a whole number from 1 to 10000000"),
        (["--seed", "-1"], "--seed: '-1' is not a whole number from 0 to 18446744073709551615"),
        (["--overhead-ms", "-1"], "--overhead-ms: '-1' is not a number from 0 on"),
        (["--routing", "best"], "--routing: invalid choice: 'best'"),
    ],
)
def test_a_flag_out_of_bounds_is_one_line_and_exit_code_two(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--load", "none.json"], "none.json: cannot be read: No such file or directory"),
        (["--machine", "none.json"], "none.json: cannot be read: No such file or directory"),
        (["--kv-cache-memory", "1"], "--kv-cache-memory: 1.00 is not at least 5."),
        (["--out", "/dev/null/x"], "--out: /dev/null/x cannot be made: Not a directory"),
    ],
)
def test_what_cannot_be_run_is_one_line_and_exit_code_two(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*QUICK, *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_load_longer_than_the_machine_s_context_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = {"name": "book", "traffic": 1, "prompt_tokens": 262_144, "output_tokens": 1, "steps": 1}
    path = tmp_path / "books.json"
    path.write_text(json.dumps({"classes": [one]}))
    assert main(["--load", str(path)]) == 2
    assert "class book: a request of 262400 tokens is not within the 262144 of" in (
        capsys.readouterr().err
    )


def test_it_starts_without_torch_or_matplotlib() -> None:
    strangers = "print({'torch', 'matplotlib'} & {*sys.modules})"
    code = f"import sys, palimpsest.engine.simulation.__main__; {strangers}"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
