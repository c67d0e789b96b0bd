"""A load as a picture: speed and waiting over the number of streams. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from palimpsest.load.figures import Level

DOTS_PER_INCH = 150


def write(levels: Sequence[Level], about: dict[str, Any], path: Path) -> None:
    """Writes the picture as PNG."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    speeds, waits = figure.subplots(1, 2)
    at_once = [level.concurrency for level in levels]
    speeds.plot(at_once, [lv.output_tokens_per_second for lv in levels], "o-", label="output")
    speeds.plot(at_once, [lv.effective_tokens_per_second for lv in levels], "o-", label="effective")
    speeds.set(ylabel="tokens per second, all streams", ylim=(0, None))
    for quantile, style in (("p50", "o-"), ("p99", "o--")):
        for name in ("time_to_first_draft_ms", "time_to_first_commit_ms"):
            values = [getattr(getattr(level, name), quantile) for level in levels]
            label = f"{name.removeprefix('time_to_').removesuffix('_ms').replace('_', ' ')}"
            waits.plot(at_once, values, style, label=f"{label}, {quantile}")
    waits.set(ylabel="milliseconds", yscale="log")
    for axes in (speeds, waits):
        _finish(axes, at_once)
    model = about["model"]
    figure.suptitle(f"{model['name']}, {model['dtype']} on {model['device']}, {about['date'][:10]}")
    figure.savefig(path, dpi=DOTS_PER_INCH)


def _finish(axes: Axes, at_once: Sequence[int]) -> None:
    axes.set(xlabel="streams at once", xscale="log")
    axes.set_xticks(at_once, [str(count) for count in at_once])
    axes.minorticks_off()
    axes.legend(frameon=False)
