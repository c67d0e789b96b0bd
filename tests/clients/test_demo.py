"""The demo: right answers, figures that add up, and an exit code that tells."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest

from palimpsest.demo import percentile


def demo(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "palimpsest.cli", "demo", *flags],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_bundled_model_answers_the_demo_s_prompts(server_address: str) -> None:
    result = demo("--json", "--address", server_address)
    reports = [json.loads(line) for line in result.stdout.splitlines()]
    assert [report["answer"] for report in reports] == [
        "savnac",
        "75",
        " ".join(str(number) for number in range(1, 41)),
    ]
    assert all(report["correct"] for report in reports)
    assert result.returncode == 0
    assert reports[2]["canvases"] > 1
    for report in reports:
        assert 0 < report["step_latency_p50_ms"] <= report["step_latency_p99_ms"]
        assert 0 < report["time_to_first_draft_ms"] <= report["time_to_first_commit_ms"]
        assert 0 < report["output_tokens_per_second"] <= report["effective_tokens_per_second"]


def test_without_a_terminal_the_demo_is_plain_text_with_a_table(server_address: str) -> None:
    result = demo("--address", server_address)
    assert "\x1b" not in result.stdout
    assert "> add 27 and 48\n" in result.stdout
    assert "step latency p99, ms" in result.stdout


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([3.0, 1.0, 2.0], 0.5, 2.0), ([3.0, 1.0, 2.0], 0.99, 3.0), ([1.0], 0.5, 1.0)],
)
def test_a_percentile_is_one_of_the_values(
    values: list[float], share: float, expected: float
) -> None:
    assert percentile(values, share) == expected


def test_no_values_have_no_percentile() -> None:
    assert math.isnan(percentile([], 0.5))
