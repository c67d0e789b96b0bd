"""Figures for people: tables for a terminal. Knows no files."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from palimpsest.engine.simulation.figures import Figures, Spread

_RUN_COLUMNS = (
    "requests/s",
    "output tok/s",
    "effective",
    "busy",
    "canvases a pass",
    "prefix hits",
    "preempted",
    "read again",
    "fairness",
)
_KIND_COLUMNS = ("requests/s", "class", "ended", "queue", "first draft", "first commit", "total")
_NOTES = (
    "output: tokens of the answers; effective: tokens of their canvases; busy: time in a pass; "
    "read again: tokens that had lost their pages; fairness: Jain's index over the shares, while "
    "several had requests waiting for a twentieth of the arrivals' time or longer",
    "p50 / p90 / p99 from the arrival of a request, in seconds",
)
_NOTHING = "-"


def terminal(title: str, runs: Sequence[Figures]) -> RenderableType:
    """Everything, for one rate or several."""
    kinds = [_kind_row(run, place) for run in runs for place in range(len(run.kinds))]
    return Group(
        Text(title, style="bold"),
        _table(_RUN_COLUMNS, [_run_row(run) for run in runs]),
        Text(_NOTES[0], style="dim"),
        _table(_KIND_COLUMNS, kinds),
        Text(_NOTES[1], style="dim"),
    )


def _run_row(run: Figures) -> list[str]:
    return [
        f"{run.rate:g}",
        f"{run.output_tokens_per_second:,.0f}",
        f"{run.effective_tokens_per_second:,.0f}",
        f"{run.utilisation:.0%}",
        f"{run.canvases_per_pass:.1f}",
        f"{run.prefix_hits:.1%}",
        f"{run.preemptions:,}",
        f"{run.rows_again:,}",
        _NOTHING if run.fairness is None else f"{run.fairness:.3f}",
    ]


def _kind_row(run: Figures, place: int) -> list[str]:
    kind = run.kinds[place]
    times = (kind.queue, kind.first_draft, kind.first_commit, kind.total)
    rate = "" if place else f"{run.rate:g}"
    return [rate, kind.name, f"{kind.requests:,}", *map(_spread, times)]


def _spread(one: Spread) -> str:
    return " / ".join(_seconds(value) for value in (one.p50, one.p90, one.p99))


def _seconds(value: float) -> str:
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=SIMPLE_HEAD, collapse_padding=True)
    for column in columns:
        table.add_column(column, justify="left" if column == "class" else "right")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table
