"""The errors of a quantised checkpoint, layer by layer: a table, JSON, and a picture."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from palimpsest.engine.quantiser.formats import GROUPS
from palimpsest.engine.quantiser.record import Record
from palimpsest.engine.quantiser.run import Done

PLOT = "quantize.png"


def table(record: Record) -> Table:
    """Relative root mean square errors in percent; rows are layers."""
    made = Table(title=f"{record.format}: relative error of the weights (RMS)")
    made.add_column("layer", justify="right")
    groups = [group for group in GROUPS if group in record.groups()]
    for group in groups:
        made.add_column(group, justify="right")
    layers = record.layers()
    for number in sorted({number for number, _ in layers}):
        cells = [layers.get((number, group)) for group in groups]
        made.add_row(str(number), *("" if one is None else f"{one.relative:.2%}" for one in cells))
    made.add_section()
    made.add_row("all", *(f"{record.groups()[group].relative:.2%}" for group in groups))
    return made


def show(done: Done, target: Path, console: Console) -> None:
    """For people."""
    console.print(table(done.record))
    before, after = done.bytes_before / 1e9, done.bytes_after / 1e9
    console.print(f"{target}: {after:.3f} GB, {after / before:.0%} of {before:.3f} GB")


def as_json(done: Done, target: Path) -> dict[str, Any]:
    """For programs; errors as shares."""
    layers = [
        {"layer": number, "group": group, "relative_rms_error": squares.relative}
        for (number, group), squares in done.record.layers().items()
    ]
    return {
        "format": done.record.format,
        "target": str(target),
        "bytes_before": done.bytes_before,
        "bytes_after": done.bytes_after,
        "files_found": done.found,
        "groups": {group: squares.relative for group, squares in done.record.groups().items()},
        "layers": layers,
    }


def plot(record: Record, path: Path) -> bool:
    """The same as a picture, where matplotlib is installed; whether it was drawn."""
    if importlib.util.find_spec("matplotlib") is None:
        return False
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.add_subplot()
    for group in record.groups():
        points = {n: 100 * s.relative for (n, of), s in record.layers().items() if of == group}
        axes.plot(list(points), list(points.values()), marker="o", markersize=3, label=group)
    axes.set_xlabel("layer")
    axes.set_ylabel("relative error of the weights, RMS, %")
    axes.set_ylim(bottom=0)
    axes.set_title(record.format)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)
    return True
