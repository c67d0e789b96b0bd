"""How far a run is, on the terminal: a bar and the accuracy so far, skill by skill."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from palimpsest.console import Console
from palimpsest.evaluation.figures import ALL
from palimpsest.evaluation.items import Item
from palimpsest.evaluation.runner import Outcome


class Progress:
    """Bars on the standard error, gone when its `with` block ends; none where no one looks."""

    def __init__(self, items: Sequence[Item]) -> None:
        console = Console(stderr=True)
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[so_far]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._asked: Counter[str] = Counter()
        self._right: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        totals = {ALL: len(items), **Counter(item.skill for item in items)}
        self._tasks: dict[str, TaskID] = {
            # A skill's bar appears with its first answer: there may be more than a screen holds.
            name: self._bars.add_task(name, total=total, visible=name == ALL, so_far="")
            for name, total in totals.items()
        }

    def count(self, outcome: Outcome) -> None:
        """One more question has its answer."""
        for name in (ALL, outcome.item.skill):
            self._asked[name] += 1
            self._right[name] += outcome.right
            self._failed[name] += outcome.error is not None
            self._bars.update(self._tasks[name], advance=1, visible=True, so_far=self._so_far(name))

    def __enter__(self) -> Progress:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def _so_far(self, name: str) -> str:
        share = f"{self._right[name] / self._asked[name]:.1%} right"
        return f"{share}, {self._failed[name]} failed" if self._failed[name] else share
