"""Draws an answer in the terminal while it is being written.

Committed text is printed for good; behind it stands the draft, and under both a line of figures.
`palimpsest.canvas` says which token looks how. Knows events, not where they come from.
"""

from __future__ import annotations

from itertools import groupby
from types import TracebackType

from rich.console import Console
from rich.text import Text

from palimpsest.canvas import (
    Look,
    Row,
    blank_glyphs,
    commit_glyphs,
    draft_glyphs,
    wrap,
)
from palimpsest.events import Commit, Completed, Event, Snapshot, Started
from palimpsest.terminal import Region

# Without colours (NO_COLOR) bold and dim alone must tell settled from unsettled.
STYLES = {
    Look.COMMITTED: "",
    Look.THOUGHT: "dim italic",
    Look.CALL: "cyan",
    Look.SETTLED: "bold",
    Look.FRESH: "bold green",
    Look.LIKELY: "#e0af68",
    Look.DOUBTFUL: "dim #f08aa0",
    Look.NOISE: "dim #a99be8",
    Look.BLANK: "dim",
}
BAR_CELLS = 12


class LiveCanvas:
    """One answer on a terminal; a context manager, inside which `show` takes its events."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._region = Region(console)
        self._tail: Row = []
        """Committed text on the last line, which may still grow or be broken elsewhere."""
        self._last_look: Look | None = None
        """Of what is committed."""
        self._draft: Row = []
        self._previous: Snapshot | None = None
        self._rows_drawn = 0
        self._canvas_length = 0
        self._status = Text()
        self._finished = False

    def show(self, event: Event) -> None:
        """Draws one event."""
        match event:
            case Started():
                self._canvas_length = event.canvas_length
                self._draft = blank_glyphs(event.canvas_length)
                self._status = _fields(f"{event.prompt_tokens} prompt tokens", f"seed {event.seed}")
                self._draw()
            case Snapshot():
                self._snapshot(event)
            case Commit():
                self._commit(event)
            case Completed():
                self._finish(summary(event))

    def __enter__(self) -> LiveCanvas:
        self._region.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if not self._finished:
                self._finish(None)
        finally:
            self._region.__exit__(kind, error, trace)

    def _snapshot(self, snapshot: Snapshot) -> None:
        previous = self._previous
        if previous is not None and previous.canvas_index != snapshot.canvas_index:
            previous = None
        self._draft = draft_glyphs(snapshot, previous)
        self._previous = snapshot
        self._status = status(snapshot, self._canvas_length)
        self._draw()

    def _commit(self, commit: Commit) -> None:
        glyphs = commit_glyphs(commit, self._last_look)
        if glyphs:
            self._last_look = glyphs[-1].look
        rows = wrap([*self._tail, *glyphs], self._region.width)
        self._tail = rows[-1]
        self._draft = []
        self._previous = None
        self._rows_drawn = 0
        self._draw(above=rows[:-1])

    def _draw(self, *, above: list[Row] | None = None) -> None:
        rows = wrap([*self._tail, *self._draft], self._region.width)
        # The figures stay on their line while the draft breathes.
        self._rows_drawn = max(self._rows_drawn, len(rows))
        rows += [[]] * (self._rows_drawn - len(rows))
        room = max(1, self._region.height - 1)
        shown = [_text(row) for row in rows[:room]]
        status_line = self._status.copy()
        status_line.truncate(self._region.width, overflow="ellipsis")
        self._region.draw([*shown, status_line], above=[_text(row) for row in above or ()])

    def _finish(self, last_line: Text | None) -> None:
        """Leaves the committed text, and no draft."""
        rows = [_text(row) for row in wrap(self._tail, self._region.width)] if self._tail else []
        if last_line is not None:
            rows += last_line.wrap(self._console, self._region.width)
        self._finished = True
        self._region.draw([], above=rows)


def status(snapshot: Snapshot, canvas_length: int) -> Text:
    """The figures of one step, most telling first, as a narrow terminal cuts the end off."""
    figures = snapshot.figures
    done = round(BAR_CELLS * figures.accepted_count / max(1, canvas_length))
    return _fields(
        f"canvas {snapshot.canvas_index + 1}",
        f"step {snapshot.step}/{snapshot.max_denoising_steps}",
        Text.assemble(
            ("━" * done, "not dim green"),
            f"{'╌' * (BAR_CELLS - done)} {figures.accepted_count}/{canvas_length} accepted",
        ),
        f"entropy {figures.mean_entropy:.2f}",
        f"{figures.step_s * 1e3:.0f} ms/step",
    )


def summary(completed: Completed) -> Text:
    """What an answer took, in one line."""
    usage, speeds = completed.usage, completed.speeds
    return _fields(
        f"{usage.output_tokens} tokens",
        f"{usage.canvases} {'canvas' if usage.canvases == 1 else 'canvases'}",
        f"{usage.denoising_steps} steps",
        f"first draft {speeds.time_to_first_draft_s * 1e3:.0f} ms, "
        f"commit {speeds.time_to_first_commit_s * 1e3:.0f} ms",
        f"output {speeds.output_tokens_per_second:.0f}, "
        f"effective {speeds.effective_tokens_per_second:.0f} tok/s",
    )


def _fields(*fields: str | Text) -> Text:
    return Text(" · ", style="dim").join(
        Text(field) if isinstance(field, str) else field for field in fields
    )


def _text(row: Row) -> Text:
    text = Text()
    for look, glyphs in groupby(row, key=lambda glyph: glyph.look):
        text.append("".join(glyph.text for glyph in glyphs), STYLES[look])
    return text
