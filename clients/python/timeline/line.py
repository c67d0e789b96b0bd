"""One answer as a timeline: when it waited, read its prompt, and took each denoising step.

Times are seconds from its acceptance, from the engine's own clock. A prompt's last pass is also the
first canvas's first step, and a commit shares a pass with the next canvas's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from palimpsest.events import Commit, Event, Snapshot, Started, StepFigures


@dataclass(frozen=True, slots=True, kw_only=True)
class StepBar:
    """A denoising step."""

    canvas_index: int
    step: int
    start_s: float
    figures: StepFigures

    @property
    def end_s(self) -> float:
        return self.start_s + self.figures.step_s


@dataclass(slots=True, kw_only=True)
class Timeline:
    """Grows with the events of an answer."""

    queue_s: float = 0.0
    prefill_s: float = 0.0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    steps: list[StepBar] = field(default_factory=list)
    missed: int = 0
    """Steps whose report did not arrive: readers that are slow get the newest only."""
    _end_s: float = 0.0

    @classmethod
    def of(cls, events: Iterable[Event]) -> Timeline:
        line = cls()
        for event in events:
            line.add(event)
        return line

    def add(self, event: Event) -> None:
        """Takes note of an event; of one answer, in order."""
        match event:
            case Started():
                self.queue_s, self.prefill_s = event.queue_s, event.prefill_s
                self.prompt_tokens = event.prompt_tokens
                self.cached_tokens = event.cached_prompt_tokens
                self._end_s = event.queue_s + event.prefill_s
            case Snapshot():
                self._step(event.canvas_index, event.step, event.figures)
            case Commit():
                self._step(event.canvas_index, event.steps, event.figures)

    @property
    def end_s(self) -> float:
        """Of the last step."""
        return self._end_s

    def canvases(self) -> dict[int, list[StepBar]]:
        """The steps of each canvas."""
        found: dict[int, list[StepBar]] = {}
        for step in self.steps:
            found.setdefault(step.canvas_index, []).append(step)
        return found

    def _step(self, canvas_index: int, step: int, figures: StepFigures) -> None:
        last = self.steps[-1] if self.steps else None
        before = last.step if last is not None and last.canvas_index == canvas_index else 0
        if step == before:
            return  # a commit repeats the step of the last snapshot
        self.missed += step - before - 1
        if last is None and step == 1:
            # in the pass that ended the prefill
            start_s = max(self._end_s - figures.step_s, 0.0)
        else:
            start_s = self._end_s + (figures.queue_s or 0.0)
        bar = StepBar(canvas_index=canvas_index, step=step, start_s=start_s, figures=figures)
        self.steps.append(bar)
        self._end_s = bar.end_s
