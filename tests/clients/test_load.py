"""`palimpsest bench`: what is asked, what is counted, and what comes out."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from palimpsest.cli import EXIT_BAD_INPUT, EXIT_BROKEN_PIPE, main
from palimpsest.events import Usage
from palimpsest.load.figures import level
from palimpsest.load.questions import Question, questions
from palimpsest.load.runner import Timing


def asked(count: int, **changes: object) -> list[Question]:
    plain = {"prompt": None, "long_share": 0.0, "long_characters": 100, "seed": 0}
    return list(itertools.islice(questions(**(plain | changes)), count))  # type: ignore[arg-type]


def test_the_same_seed_asks_the_same_questions() -> None:
    assert asked(20) == asked(20)
    assert asked(20) != asked(20, seed=1)


def test_every_request_has_a_seed_of_its_own() -> None:
    assert len({question.seed for question in asked(100)}) == 100


def test_a_given_prompt_is_asked_by_all() -> None:
    prompts = {question.messages[-1]["content"] for question in asked(5, prompt="hello")}
    assert prompts == {"hello"}


def test_as_many_are_long_as_asked_for_and_no_two_begin_alike() -> None:
    mixed = asked(400, long_share=0.25, long_characters=50)
    long = [question for question in mixed if question.is_long]
    assert 60 < len(long) < 140
    assert all(40 < len(question.messages[0]["content"]) <= 50 for question in long)
    assert len({question.messages[0]["content"] for question in long}) == len(long)


def timing(begin_s: float, *, tokens: int = 10, is_long: bool = False) -> Timing:
    usage = Usage(
        prompt_tokens=5,
        cached_prompt_tokens=0,
        output_tokens=tokens,
        thinking_tokens=0,
        canvases=1,
        denoising_steps=2,
    )
    return Timing(
        is_long=is_long,
        started_s=begin_s,
        canvas_length=64,
        first_draft_s=begin_s + 0.1,
        first_commit_s=begin_s + 0.2,
        ended_s=begin_s + 0.5,
        snapshots=3,
        usage=usage,
    )


def test_speeds_are_over_all_streams_and_the_time_from_first_to_last() -> None:
    figures = level(2, [timing(0.0), timing(0.5), timing(1.5)])
    assert figures.wall_s == pytest.approx(2.0)
    assert figures.output_tokens_per_second == pytest.approx(15.0)
    assert figures.effective_tokens_per_second == pytest.approx(96.0)
    assert figures.requests_per_second == pytest.approx(1.5)
    assert figures.steps_per_canvas == pytest.approx(2.0)
    assert figures.drafts_per_second == pytest.approx(4.5)


def test_waits_of_long_prompts_are_told_apart() -> None:
    slow = timing(0.0, is_long=True)
    slow.first_draft_s = 3.0
    figures = level(2, [timing(0.0), timing(0.0), slow])
    assert figures.time_to_first_draft_ms.p99 == pytest.approx(100.0)
    assert figures.time_to_first_draft_ms_long.p50 == pytest.approx(3000.0)


@pytest.mark.parametrize(
    ("count", "p50", "p99"), [(1, 0.0, 0.0), (2, 500.0, 990.0), (101, 50_000.0, 99_000.0)]
)
def test_quantiles_lie_between_neighbours(count: int, p50: float, p99: float) -> None:
    timings = [timing(0.0) for _ in range(count)]
    for seconds, one in enumerate(timings):
        one.first_commit_s = float(seconds)
    quantiles = level(1, timings).time_to_first_commit_ms
    assert (quantiles.p50, quantiles.p99) == (pytest.approx(p50), pytest.approx(p99))


def test_a_failed_request_counts_as_failed_and_for_no_speed() -> None:
    failed = Timing(is_long=False, started_s=0.0, ended_s=1.0, error="overloaded")
    figures = level(1, [timing(0.0), failed])
    assert (figures.requests, figures.failed) == (2, 1)
    assert figures.output_tokens_per_second == pytest.approx(10.0)


def bench(*flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "palimpsest.cli", "bench", *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_bench_reports_every_level_and_writes_its_files(
    server_address: str, tmp_path: Path
) -> None:
    flags = ["--concurrency", "1", "3", "--requests-per-stream", "2", "--out", str(tmp_path)]
    asked_for = ["--prompt", "reverse the word: canvas", "--long-share", "0.5", "--json"]
    done = bench("--address", server_address, *flags, *asked_for)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document == json.loads((tmp_path / "bench.json").read_text())
    counted = [(one["concurrency"], one["requests"], one["failed"]) for one in document["levels"]]
    assert counted == [(1, 2, 0), (3, 6, 0)]
    assert all(one["time_to_first_commit_ms"]["p50"] for one in document["levels"])
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")


QUICK = ("--concurrency", "1", "--requests-per-stream", "1", "--prompt", "add 1 and 2")


def test_without_matplotlib_a_bench_writes_everything_but_the_plot(
    server_address: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["bench", "--address", server_address, *QUICK, "--out", str(tmp_path)]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["bench.json"]
    told = capsys.readouterr()
    assert "at once" in told.out
    assert "no bench.png, as matplotlib is missing: pip install 'palimpsest[eval]'" in told.err


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_bench_nobody_reads_has_written_its_files(
    server_address: str, tmp_path: Path, form: tuple[str, ...]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "palimpsest.cli", "bench", "--address", server_address]
    flags = [*QUICK, "--out", str(tmp_path), *form]
    done = subprocess.run([*command, *flags], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (EXIT_BROKEN_PIPE, b"")
    assert {path.name for path in tmp_path.iterdir()} == {"bench.json", "bench.png"}


def test_a_folder_that_cannot_be_made_is_refused_before_a_server_is_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    code = main(["bench", "--model", "nowhere", *QUICK, "--out", str(tmp_path / "file")])
    assert code == EXIT_BAD_INPUT
    complaint = f"--out: {tmp_path}/file cannot be made: File exists"
    assert capsys.readouterr().err == f"palimpsest: {complaint}\n"


def test_a_bench_shows_a_table(server_address: str) -> None:
    flags = ["--concurrency", "2", "--requests-per-stream", "1", "--prompt", "add 1 and 2"]
    done = bench("--address", server_address, *flags)
    assert done.returncode == 0, done.stderr
    assert "palimpsest-tiny" in done.stdout
    assert "at once" in done.stdout
    assert "of long" not in done.stdout


def test_a_failed_request_makes_a_failed_bench(server_address: str) -> None:
    flags = ["--concurrency", "1", "--requests-per-stream", "1", "--max-denoising-steps", "100000"]
    done = bench("--address", server_address, *flags)
    assert done.returncode == 1
    assert "1 failed, the first: " in done.stderr
    assert "max_denoising_steps" in done.stderr


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--concurrency", "0"], "argument --concurrency: 0 is below 1"),
        (["--concurrency", "5000"], "argument --concurrency: 5000 is above 4096"),
        (["--long-share", "2"], "argument --long-share: 2.0 is not within 0 and 1"),
    ],
)
def test_a_flag_out_of_bounds_is_refused(flags: list[str], complaint: str) -> None:
    done = bench(*flags)
    assert done.returncode == 2
    assert complaint in done.stderr
