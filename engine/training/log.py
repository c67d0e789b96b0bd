"""What people and plots see of a run: a progress bar, and lines of JSON in OUT/log.jsonl."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from statistics import fmean

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

EVERY_STEPS = 20


class RunLog:
    """Watches one process of a run; only the first one shows and writes anything."""

    def __init__(self, path: Path, *, steps: int, rank: int) -> None:
        self.path, self.writes = path, rank == 0
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            disable=not self.writes or not sys.stderr.isatty(),
        )
        self.task = self.bar.add_task("training", total=steps)
        self.recent: list[dict[str, float]] = []
        self.accuracy = "not measured yet"
        self.since = time.monotonic()
        self.began = self.since - _seconds_so_far(path)

    def __enter__(self) -> RunLog:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def trained(self, step: int, figures: dict[str, float]) -> None:
        """Shows a step; every 20 of them become one line of means."""
        self.recent.append(figures)
        speed = sum(f["tokens"] for f in self.recent) / (time.monotonic() - self.since)
        text = f"loss {figures['loss']:.3f}  {speed:,.0f} tok/s  held out {self.accuracy}"
        self.bar.update(self.task, completed=step, description=text)
        if step % EVERY_STEPS == 0:
            self._write({"step": step, **self._means(), "tokens_per_second": round(speed)})
            self.recent.clear()
            self.since = time.monotonic()

    def probed(self, step: int, accuracies: dict[str, float]) -> None:
        """Shows and writes the held-out accuracy of each skill."""
        self.accuracy = f"{fmean(accuracies.values()):.0%}"
        self._write({"step": step, "accuracy": accuracies})
        self.since = time.monotonic()

    def _means(self) -> dict[str, float]:
        # a mean skips steps that had no example at full noise
        names = self.recent[-1]
        kept = {n: [f[n] for f in self.recent if n in f and f[n] == f[n]] for n in names}
        return {name: fmean(values) for name, values in kept.items() if values}

    def _write(self, line: dict[str, object]) -> None:
        if not self.writes:
            return
        line = {"seconds": round(time.monotonic() - self.began, 1), **line}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _seconds_so_far(path: Path) -> float:
    """What earlier parts of the same run took."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return json.loads(lines[-1])["seconds"] if lines else 0.0
