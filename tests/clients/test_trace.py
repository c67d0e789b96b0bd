"""`palimpsest trace`: where an answer's time went."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from palimpsest import Client
from palimpsest.cli import EXIT_BAD_INPUT, EXIT_BROKEN_PIPE, main
from palimpsest.events import Commit, Snapshot, Started, StepFigures
from palimpsest.timeline.command import EVERY_STEP, table
from palimpsest.timeline.line import Timeline

Run = Callable[..., tuple[int, str, str]]
COUNT = "count from 1 to 40"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], server_address: str) -> Run:
    """The command line against the shared server: exit code, output, errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        command = ["trace", COUNT, "--address", server_address, "--seed", "7", *arguments]
        code = main(command)
        written = capsys.readouterr()
        return code, written.out, written.err

    return run


def started(queue_s: float, prefill_s: float) -> Started:
    return Started(
        sequence=1,
        request_id="r",
        model="m",
        canvas_length=64,
        prompt_tokens=25,
        cached_prompt_tokens=5,
        seed=0,
        queue_s=queue_s,
        prefill_s=prefill_s,
    )


def figures(step_s: float, queue_s: float | None) -> StepFigures:
    return StepFigures(
        step_s=step_s,
        queue_s=queue_s,
        device_s=None,
        batch_size=2,
        temperature=0.8,
        accepted_count=10,
        changed_count=3,
        mean_entropy=0.5,
    )


def snapshot(canvas: int, step: int, step_s: float, queue_s: float | None = None) -> Snapshot:
    return Snapshot(
        sequence=1,
        canvas_index=canvas,
        step=step,
        max_denoising_steps=48,
        figures=figures(step_s, queue_s),
    )


def commit(canvas: int, steps: int, step_s: float, queue_s: float | None = None) -> Commit:
    return Commit(
        sequence=1,
        canvas_index=canvas,
        steps=steps,
        converged=True,
        token_ids=(),
        text_delta="",
        thought_delta="",
        denoise_s=0.0,
        figures=figures(step_s, queue_s),
    )


def test_steps_follow_each_other_with_what_they_waited() -> None:
    line = Timeline.of(
        [started(1.0, 4.0), snapshot(0, 1, 3.0), snapshot(0, 2, 2.0, 0.5), commit(0, 3, 2.0, 0.25)]
    )
    # the first step is in the pass that ends the prefill, at 5
    assert [step.start_s for step in line.steps] == [2.0, 5.5, 7.75]
    assert (line.end_s, line.missed) == (9.75, 0)


def test_a_commit_repeats_the_last_step_that_was_seen() -> None:
    line = Timeline.of([started(0.0, 1.0), snapshot(0, 1, 1.0), commit(0, 1, 1.0)])
    assert [step.step for step in line.steps] == [1]


def test_steps_that_were_not_told_are_counted() -> None:
    events = [started(0.0, 1.0), snapshot(0, 1, 1.0), commit(0, 5, 1.0, 0.0), commit(1, 2, 1.0)]
    assert Timeline.of(events).missed == 4


def test_everything_that_took_time_has_a_row() -> None:
    line = Timeline.of([started(0.001, 0.004), snapshot(0, 1, 0.003), commit(0, 2, 0.002, 0.0)])
    console = Console(width=80, highlight=False)
    with console.capture() as captured:
        console.print(table(line))
    rows = captured.get().splitlines()
    names = ["queue", "prefill", "canvas 1", "step 1", "step 2"]
    assert [row.strip().split("  ")[0] for row in rows[1:]] == names
    assert max(map(len, rows)) < 80
    assert rows[-1].split()[2:5] == ["5.0", "2.0", "0.0"]


def test_a_timeline_of_a_real_answer_adds_up(server_address: str) -> None:
    with Client(server_address) as client:
        events = list(client.stream(COUNT, seed=7, preview=EVERY_STEP))
    line, commits = Timeline.of(events), [e for e in events if isinstance(e, Commit)]
    for canvas, steps in line.canvases().items():
        last = steps[-1]
        assert last.step == commits[canvas].steps
        if len(steps) == last.step:
            whole_s = last.end_s - steps[0].start_s
            assert whole_s == pytest.approx(commits[canvas].denoise_s, abs=1e-4)


def test_programs_read_the_timeline(run: Run) -> None:
    code, out, _ = run("--json")
    assert code == 0
    line = json.loads(out)
    assert line["steps"][0]["figures"]["batch_size"] >= 1
    assert line["prompt_tokens"] == 25


def test_a_picture_is_drawn_where_it_is_asked_for(run: Run, tmp_path: Path) -> None:
    picture = tmp_path / "steps.png"
    code, out, errors = run("--out", str(picture))
    assert code == 0
    assert "canvas 2" in out
    assert out.startswith("prompt of 25 tokens, ")
    assert f"drawn into {picture}" in errors
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_picture_of_another_kind_is_refused_before_anything_is_asked(run: Run) -> None:
    code, out, errors = run("--out", "steps.pdf")
    assert (code, out) == (EXIT_BAD_INPUT, "")
    assert errors == "palimpsest: --out: steps.pdf does not end in .png\n"


def test_a_picture_in_a_folder_that_is_not_there_is_refused_before_anything_is_asked(
    run: Run, tmp_path: Path
) -> None:
    code, out, errors = run("--out", str(tmp_path / "missing" / "steps.png"))
    assert (code, out) == (EXIT_BAD_INPUT, "")
    assert errors == f"palimpsest: --out: {tmp_path}/missing is no folder\n"


def test_a_timeline_nobody_reads_has_been_drawn(server_address: str, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    picture = tmp_path / "steps.png"
    flags = ["trace", COUNT, "--address", server_address, "--out", str(picture)]
    command = [sys.executable, "-m", "palimpsest.cli", *flags]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert done.returncode == EXIT_BROKEN_PIPE
    assert done.stderr.decode() == f"drawn into {picture}\n"
    assert picture.is_file()
