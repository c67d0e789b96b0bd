"""A run as a picture: accuracies with their intervals, and the histogram of steps.

The only module here that needs matplotlib; imported when a picture is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from palimpsest.evaluation.comparison import Side
from palimpsest.evaluation.intervals import Estimate
from palimpsest.evaluation.records import Run
from palimpsest.evaluation.table import percent

RUN_COLOR = "#2f6f9f"
BASE_COLOR = "#c3c7cc"
INK = "#333333"
BAR_INCHES = 0.32
DOTS_PER_INCH = 150


def write(run: Run, path: Path) -> None:
    """Writes the picture as PNG."""
    bars = len(run.skills) * (1 if run.comparison is None else 2)
    figure = Figure(figsize=(11, max(3.0, 1.3 + BAR_INCHES * bars)), layout="constrained")
    accuracies, steps = figure.subplots(1, 2, width_ratios=(3, 2))
    _draw_accuracies(accuracies, run)
    _draw_steps(steps, run)
    model, date = run.about["model"], run.about["date"][:10]
    figure.suptitle(f"{model['name']}, {model['dtype']} on {model['device']}, {date}", color=INK)
    figure.savefig(path, dpi=DOTS_PER_INCH)


def _draw_accuracies(axes: Axes, run: Run) -> None:
    skills = run.skills
    base = _base_sides(run)
    height = 0.4 if base else 0.7
    offset = height / 2 if base else 0.0
    places = {figures.skill: place for place, figures in enumerate(skills)}
    _bars(
        axes,
        [place - offset for place in places.values()],
        [figures.accuracy for figures in skills],
        height=height,
        color=RUN_COLOR,
        label="this run",
    )
    if base:
        _bars(
            axes,
            [places[skill] + offset for skill in base],
            [side.accuracy for side in base.values()],
            height=height,
            color=BASE_COLOR,
            label="base",
        )
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False)
    labels = [f"{figures.skill}  (n = {figures.items:,})" for figures in skills]
    axes.set_yticks(list(places.values()), labels)
    axes.invert_yaxis()
    axes.set_xlim(0, 115)  # room for the numbers behind full bars
    axes.set_xticks(range(0, 101, 20))
    axes.set_xlabel("right answers, %, with 95 % intervals")
    _calm(axes)


def _bars(
    axes: Axes,
    places: Sequence[float],
    accuracies: Sequence[Estimate],
    *,
    height: float,
    color: str,
    label: str,
) -> None:
    axes.barh(
        places,
        [100 * accuracy.value for accuracy in accuracies],
        height,
        color=color,
        label=label,
        xerr=[
            [100 * accuracy.below for accuracy in accuracies],
            [100 * accuracy.above for accuracy in accuracies],
        ],
        error_kw={"ecolor": INK, "elinewidth": 1, "capsize": 2},
    )
    for place, accuracy in zip(places, accuracies, strict=True):
        behind = 100 * accuracy.high + 1.5
        axes.text(behind, place, percent(accuracy.value), va="center", color=INK, fontsize=8)


def _draw_steps(axes: Axes, run: Run) -> None:
    base: dict[int, int] = {}
    for side in _base_sides(run).values():
        for steps, count in side.steps_histogram.items():
            base[steps] = base.get(steps, 0) + count
    if base:
        _histogram(axes, base, color=BASE_COLOR, label="base")
    _histogram(axes, run.overall.steps_histogram, color=RUN_COLOR, label="this run")
    mean = run.overall.steps_per_canvas
    if mean is not None:
        cap = run.about["settings"]["sampling"].get("max_denoising_steps")
        limit = "" if cap is None else f", at most {cap}"
        axes.set_title(f"mean {mean:.1f}{limit}", fontsize=9, color=INK)
    axes.set_xlabel("denoising steps of a canvas")
    axes.set_ylabel("canvases, %")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _calm(axes)


def _histogram(axes: Axes, counts: Mapping[int, int], *, color: str, label: str) -> None:
    total = sum(counts.values())
    shares = [100 * count / total for count in counts.values()]
    # The base is wider, so that it shows behind the run.
    axes.bar(list(counts), shares, 0.9 if label == "base" else 0.55, color=color, label=label)


def _base_sides(run: Run) -> dict[str, Side]:
    return {} if run.comparison is None else {one.skill: one.base for one in run.comparison.skills}


def _calm(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK, labelsize=8)
