"""Draws OUT/log.jsonl: loss over steps, and held-out accuracy of each skill."""

from __future__ import annotations

import json
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure


def plot(log: Path, picture: Path) -> None:
    """Writes a PNG. A step that was run twice, after a break, counts as it ran last."""
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    losses = {line["step"]: line["loss"] for line in lines if "loss" in line}
    accuracies = {line["step"]: line["accuracy"] for line in lines if "accuracy" in line}
    figure = Figure(figsize=(9, 9), layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=(1, 2), sharex=True)
    above.plot(sorted(losses), [losses[step] for step in sorted(losses)], linewidth=0.8)
    above.set(ylabel="loss (nats)", yscale="log", title="Training of the bundled model")
    _plot_accuracies(below, accuracies)
    figure.savefig(picture, dpi=110)


def _plot_accuracies(axes: Axes, accuracies: dict[int, dict[str, float]]) -> None:
    """One row a skill, darker where more of its held-out questions are answered."""
    steps = sorted(accuracies)
    axes.set(xlabel="step", title="Held-out questions answered exactly")
    if not steps:
        return
    skills = list(accuracies[steps[-1]])
    for row, skill in enumerate(skills):
        shares = [accuracies[step].get(skill, 0.0) for step in steps]
        axes.plot(steps, [row + 0.8 * share for share in shares], linewidth=1.2)
        axes.fill_between(steps, row, [row + 0.8 * share for share in shares], alpha=0.3)
        axes.annotate(f"{shares[-1]:.0%}", (steps[-1], row + 0.2), fontsize=8)
    axes.set_yticks(range(len(skills)), skills, fontsize=8)
