"""A timeline as a picture. Needs matplotlib; imported when one is asked for."""

from __future__ import annotations

from pathlib import Path

from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from palimpsest.timeline.line import Timeline

ROW_INCHES = 0.35
WAITING, READING = "#b9b6ad", "#5b8db8"
TITLE_LETTERS = 80


def draw(line: Timeline, prompt: str, path: Path) -> None:
    """A row for the prompt and one for each canvas; steps are the darker, the less sure it was."""
    canvases = line.canvases()
    figure = Figure(figsize=(11, 1.6 + ROW_INCHES * (1 + len(canvases))), layout="constrained")
    axes = figure.subplots()
    highest = max((step.figures.mean_entropy for step in line.steps), default=0.0)
    scale, shades = Normalize(0.0, max(highest, 1e-9)), colormaps["cividis_r"]
    queue, prefill = (0.0, line.queue_s), (line.queue_s, line.prefill_s)
    axes.broken_barh([_ms(queue), _ms(prefill)], (-0.4, 0.8), facecolors=[WAITING, READING])
    for row, steps in enumerate(canvases.values(), start=1):
        spans = [_ms((step.start_s, step.figures.step_s)) for step in steps]
        colours = [shades(scale(step.figures.mean_entropy)) for step in steps]
        axes.broken_barh(spans, (row - 0.4, 0.8), facecolors=colours, edgecolor="white", lw=0.5)
    axes.set_yticks(
        range(1 + len(canvases)),
        ["queue, prefill", *(f"canvas {i + 1}, {len(s)} steps" for i, s in canvases.items())],
    )
    axes.invert_yaxis()
    axes.set_xlabel("ms since the request was accepted")
    axes.set_title(prompt if len(prompt) <= TITLE_LETTERS else f"{prompt[:TITLE_LETTERS]}…")
    axes.spines[["top", "right"]].set_visible(False)
    legend = ScalarMappable(scale, shades)
    figure.colorbar(legend, ax=axes, label="entropy, nats per position")
    figure.savefig(path, dpi=150)


def _ms(span: tuple[float, float]) -> tuple[float, float]:
    return (span[0] * 1e3, span[1] * 1e3)
