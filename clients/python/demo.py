"""`palimpsest demo`: three prompts with live canvases, checked, and what they took in a table.

Step latencies are the server's own, one for every step whose report arrived; speeds and times are
the server's figures for the whole answer. Knows the client and the terminal.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from rich.box import SIMPLE_HEAD
from rich.table import Table

from palimpsest import answer
from palimpsest.answer import Form
from palimpsest.client import Client
from palimpsest.console import Console
from palimpsest.events import Commit, Completed, Event, Snapshot
from palimpsest.interrupts import interruptible
from palimpsest.requests import EVERY_STEP

SEED = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A prompt whose answer is known."""

    name: str
    prompt: str
    words: tuple[str, ...]
    """The words and numbers of the answer, whatever stands between them."""


TASKS = (
    Task(name="reverse", prompt="reverse the word: canvas", words=("savnac",)),
    Task(name="add", prompt="add 27 and 48", words=("75",)),
    Task(
        name="count",
        prompt="count from 1 to 40",
        words=tuple(str(number) for number in range(1, 41)),
    ),
)


@dataclass(slots=True, kw_only=True)
class Report:
    """What is learnt of one answer while its events pass."""

    task: Task
    step_ms: dict[tuple[int, int], float] = field(default_factory=dict)
    """By canvas and step; the last step of a canvas is told by its commit too."""
    text: str = ""
    completed: Completed | None = None

    @property
    def is_correct(self) -> bool:
        """Whether the answer is complete and the right one."""
        return (
            self.completed is not None and tuple(re.findall(r"\w+", self.text)) == self.task.words
        )

    def watch(self, events: Iterable[Event]) -> Iterator[Event]:
        """Passes the events on and remembers what counts."""
        for event in events:
            match event:
                case Snapshot():
                    self.step_ms[event.canvas_index, event.step] = event.figures.step_s * 1e3
                case Commit():
                    self.step_ms[event.canvas_index, event.steps] = event.figures.step_s * 1e3
                    self.text += event.text_delta
                case Completed():
                    self.completed = event
            yield event


def run(client: Client, *, as_json: bool) -> bool:
    """Runs the demo; returns whether every answer was right."""
    form = answer.suitable_form(drafts=True)
    console = Console(highlight=False)
    reports = []
    for task in TASKS:
        report = Report(task=task)
        answering = partial(client.stream, task.prompt, seed=SEED, preview=EVERY_STEP)
        with interruptible(answering) as stream:
            events = report.watch(stream)
            if as_json:
                for _ in events:
                    pass
                print(json.dumps(_record(report)), flush=True)
            else:
                _present(console, report, events, form)
        reports.append(report)
    if not as_json:
        console.print(_table(reports))
        console.print(
            f"output: tokens of the answer; effective: tokens of its canvases; seed {SEED}",
            style="dim",
        )
    return all(report.is_correct for report in reports)


def _present(console: Console, report: Report, events: Iterator[Event], form: Form) -> None:
    console.print(f"[bold cyan]>[/] {report.task.prompt}")
    # A small model is done before anybody has seen a thing.
    answer.write(answer.slowly(events) if form is Form.LIVE else events, form)
    if form is Form.PLAIN:
        console.print()
    mark = "[green]✓ correct[/]" if report.is_correct else "[red]✗ wrong[/]"
    console.print(f"{mark}\n")


def _figures(report: Report) -> dict[str, float]:
    """The rows of the table, in order, by the names that --json gives them."""
    assert report.completed is not None, "a stream that ends without error has completed"
    usage, speeds = report.completed.usage, report.completed.speeds
    latencies = list(report.step_ms.values())
    return {
        "step_latency_p50_ms": percentile(latencies, 0.50),
        "step_latency_p99_ms": percentile(latencies, 0.99),
        "canvases": usage.canvases,
        "steps_per_canvas": speeds.steps_per_canvas,
        "time_to_first_draft_ms": speeds.time_to_first_draft_s * 1e3,
        "time_to_first_commit_ms": speeds.time_to_first_commit_s * 1e3,
        "output_tokens_per_second": speeds.output_tokens_per_second,
        "effective_tokens_per_second": speeds.effective_tokens_per_second,
    }


def _label(name: str) -> str:
    words = name.replace("_per_second", "/s").replace("_ms", ", ms")
    return words.replace("_", " ").replace("tokens/s", "tok/s")


def _record(report: Report) -> dict[str, object]:
    return {
        "prompt": report.task.prompt,
        "answer": report.text,
        "correct": report.is_correct,
        **_figures(report),
    }


def _table(reports: Sequence[Report]) -> Table:
    table = Table(box=SIMPLE_HEAD)
    table.add_column("")
    for report in reports:
        table.add_column(report.task.name, justify="right")
    columns = [_figures(report) for report in reports]
    for name in columns[0]:
        table.add_row(_label(name), *(_number(column[name]) for column in columns))
    table.add_row("answer", *("✓" if report.is_correct else "✗" for report in reports))
    return table


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of `values` does not exceed; NaN if none."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"
