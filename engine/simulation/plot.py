"""Runs as pictures. The only module here that needs matplotlib; imported when one is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from palimpsest.engine.simulation.figures import Figures
from palimpsest.engine.simulation.service import Service

INK = "#333333"
OUTPUT, EFFECTIVE = "#2f6f9f", "#c3c7cc"
COLORS = ("#2f6f9f", "#c2703d", "#5b8c5a", "#8c5b8a", "#8a8a3a", "#a04040")
DOTS_PER_INCH = 150


def plot_rates(title: str, runs: Sequence[Figures], picture: Path) -> None:
    """Throughput and time to first draft against the offered load."""
    figure, (above, below) = _figure(title, 2, (7, 7))
    rates = [run.rate for run in runs]
    effective = [run.effective_tokens_per_second for run in runs]
    above.plot(rates, effective, "o-", color=EFFECTIVE, label="effective: whole canvases")
    output = [run.output_tokens_per_second for run in runs]
    above.plot(rates, output, "o-", color=OUTPUT, label="output: answers")
    above.set(ylabel="tokens a second", ylim=(0, None))
    for color, name in zip(_colors(len(_names(runs))), _names(runs), strict=True):
        _band(below, runs, name, "first_draft", color)
    below.set(xlabel="requests a second", ylabel="time to first draft, s", yscale="log")
    _finish(figure, (above, below), picture)


def plot_queues(title: str, runs: Sequence[Figures], picture: Path) -> None:
    """Time in the queue of each class against the offered load."""
    figure, (axes,) = _figure(title, 1, (7, 4.5))
    for color, name in zip(_colors(len(_names(runs))), _names(runs), strict=True):
        _band(axes, runs, name, "queue", color)
    # an empty queue is no time at all, which a logarithm does not show
    axes.set_yscale("symlog", linthresh=0.01)
    axes.set(xlabel="requests a second", ylabel="time until the first pass, s", ylim=(0, None))
    _finish(figure, (axes,), picture)


def plot_service(title: str, service: Service, picture: Path) -> None:
    """Work done for each share over time: where two want more, their lines are equally steep."""
    figure, (axes,) = _figure(title, 1, (7, 4.5))
    last = max(interval for course in service.course.values() for interval in course)
    times = [service.interval_s * number for number in range(last + 2)]
    shares = sorted(service.course)
    for color, share in zip(_colors(len(shares)), shares, strict=True):
        work = [service.course[share][interval] for interval in range(last + 1)]
        axes.plot(times, [done / 1e6 for done in (0, *accumulate(work))], color=color, label=share)
    index = service.fairness()
    if index is not None:
        axes.set_title(f"Jain's index while several are backlogged: {index:.3f}", fontsize=9)
    axes.set(
        xlabel="seconds", ylabel="million tokens run: prompts, commits, canvases", ylim=(0, None)
    )
    _finish(figure, (axes,), picture)


def _band(axes: Axes, runs: Sequence[Figures], name: str, figure: str, color: str) -> None:
    """Median as a line, 99 in a hundred dashed, of one class."""
    spreads = [
        (run.rate, getattr(kind, figure)) for run in runs for kind in run.kinds if kind.name == name
    ]
    rates = [rate for rate, _ in spreads]
    for part, line in (("p50", "-"), ("p99", "--")):
        seconds = [getattr(one, part) for _, one in spreads]
        axes.plot(
            rates, seconds, line, marker="o", markersize=4, color=color, label=f"{name}, {part}"
        )


def _names(runs: Sequence[Figures]) -> list[str]:
    return list(dict.fromkeys(kind.name for run in runs for kind in run.kinds))


def _colors(count: int) -> list[str]:
    return [COLORS[number % len(COLORS)] for number in range(count)]


def _figure(title: str, rows: int, size: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title, color=INK, fontsize=10)
    return figure, list(figure.subplots(rows, 1, squeeze=False, sharex=True).flat)


def _finish(figure: Figure, every: Sequence[Axes], picture: Path) -> None:
    for axes in every:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=INK, labelsize=8)
        axes.legend(frameon=False, fontsize=8, handlelength=3.5)
    figure.savefig(picture, dpi=DOTS_PER_INCH)
