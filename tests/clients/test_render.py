"""What stands on a terminal while an answer is drawn and after, by an emulator of one."""

from __future__ import annotations

import io
from dataclasses import replace

import pyte
import pytest
from rich.console import Console

from palimpsest.events import (
    Commit,
    Completed,
    Event,
    Snapshot,
    Span,
    Speeds,
    Started,
    StepFigures,
    ToolCall,
    Usage,
)
from palimpsest.render import LiveCanvas

STARTED = Started(
    sequence=1,
    request_id="r",
    model="tiny",
    canvas_length=4,
    prompt_tokens=9,
    cached_prompt_tokens=0,
    seed=7,
    queue_s=0.0,
    prefill_s=0.01,
)
FIGURES = StepFigures(
    step_s=0.023,
    queue_s=None,
    device_s=None,
    batch_size=1,
    temperature=0.8,
    accepted_count=3,
    changed_count=1,
    mean_entropy=0.42,
)
COMPLETED = Completed(
    sequence=9,
    finish_reason="stop",
    usage=Usage(
        prompt_tokens=9,
        cached_prompt_tokens=0,
        output_tokens=5,
        thinking_tokens=0,
        canvases=2,
        denoising_steps=6,
    ),
    speeds=Speeds(
        output_tokens_per_second=50.0,
        effective_tokens_per_second=80.0,
        steps_per_canvas=3.0,
        tokens_per_forward=0.8,
        time_to_first_draft_s=0.03,
        time_to_first_commit_s=0.06,
    ),
)


class Terminal:
    """A terminal emulator with a hundred lines of scroll-back."""

    def __init__(self, columns: int, lines: int) -> None:
        self.screen = pyte.HistoryScreen(columns, lines, history=100)
        self._stream = pyte.Stream(self.screen)

    def write(self, text: str) -> int:
        # As the line discipline of a terminal does.
        self._stream.feed(text.replace("\n", "\r\n"))
        return len(text)

    def flush(self) -> None:
        """Nothing waits here."""

    def isatty(self) -> bool:
        return True

    @property
    def rows(self) -> list[str]:
        """All rows, those scrolled off included, down to the last that is not empty."""
        above = [
            "".join(row[column].data for column in range(self.screen.columns))
            for row in self.screen.history.top
        ]
        return "\n".join(r.rstrip() for r in [*above, *self.screen.display]).rstrip().split("\n")


def console(terminal: Terminal, *, no_color: bool = False) -> Console:
    return Console(
        file=terminal,  # pyright: ignore[reportArgumentType] - writes like a file, is not one
        force_terminal=True,
        color_system="truecolor",
        no_color=no_color,
        width=terminal.screen.columns,
        height=terminal.screen.lines,
    )


def snapshot(canvas: int, step: int, *texts: str) -> Snapshot:
    return Snapshot(
        sequence=step + 1,
        canvas_index=canvas,
        step=step,
        max_denoising_steps=48,
        figures=FIGURES,
        token_texts=texts,
        token_ids=tuple(hash(text) % 1000 for text in texts),
        confidence=(0.9,) * len(texts),
        accepted=(True,) * len(texts),
    )


def commit(canvas: int, text: str) -> Commit:
    return Commit(
        sequence=8,
        canvas_index=canvas,
        steps=3,
        converged=True,
        token_ids=(1,),
        text_delta=text,
        thought_delta="",
        denoise_s=0.06,
        figures=FIGURES,
    )


def draw(terminal: Terminal, *events: Event) -> None:
    with LiveCanvas(console(terminal)) as canvas:
        for event in events:
            canvas.show(event)


def test_an_empty_canvas_is_drawn_before_its_first_step() -> None:
    terminal = Terminal(60, 8)
    with LiveCanvas(console(terminal)) as canvas:
        canvas.show(STARTED)
        assert terminal.rows == ["····", "9 prompt tokens · seed 7"]
        assert terminal.screen.cursor.hidden


def test_a_draft_takes_the_place_of_the_one_before() -> None:
    terminal = Terminal(80, 8)
    with LiveCanvas(console(terminal)) as canvas:
        canvas.show(STARTED)
        canvas.show(snapshot(0, 1, "qx", "zw", "", ""))
        canvas.show(snapshot(0, 2, "sa", "v", "", ""))
        assert terminal.rows == [
            "sav··",
            "canvas 1 · step 2/48 · ━━━━━━━━━╌╌╌ 3/4 accepted · entropy 0.42 · 23 ms/step",
        ]


def test_the_figures_stay_on_their_row_while_the_draft_shrinks() -> None:
    terminal = Terminal(80, 8)
    with LiveCanvas(console(terminal)) as canvas:
        canvas.show(snapshot(0, 1, "a", "\n", "b"))
        canvas.show(snapshot(0, 2, "a", "\n", "b"))
        assert terminal.rows[2].startswith("canvas 1")
        canvas.show(snapshot(0, 3, "a", "b"))
        assert terminal.rows[:2] == ["ab", ""]
        assert terminal.rows[2].startswith("canvas 1")


def test_the_next_canvas_continues_on_the_line_of_the_committed_text() -> None:
    terminal = Terminal(60, 8)
    with LiveCanvas(console(terminal)) as canvas:
        canvas.show(commit(0, "7 8 9"))
        canvas.show(snapshot(1, 1, " 1", "0"))
        assert terminal.rows[0] == "7 8 9 10"


def test_committed_rows_scroll_away_and_are_not_drawn_twice() -> None:
    terminal = Terminal(20, 5)
    text = " ".join(str(number) for number in range(60))
    words = text.split(" ")
    events: list[Event] = [STARTED]
    for index in range(0, 60, 10):
        delta = " ".join(words[index : index + 10]) + (" " if index < 50 else "")
        events += [snapshot(index, 1, "draft", "draft"), commit(index, delta)]
    draw(terminal, *events, COMPLETED)
    shown = " ".join(" ".join(terminal.rows).split())
    assert shown.startswith(f"{text} 5 tokens")


def test_at_the_end_the_text_and_its_figures_remain_and_nothing_else() -> None:
    terminal = Terminal(120, 8)
    terminal.write("$ palimpsest\n")
    draw(terminal, STARTED, snapshot(0, 1, "x", "", ""), commit(0, "savnac"), COMPLETED)
    assert terminal.rows == [
        "$ palimpsest",
        "savnac",
        "5 tokens · 2 canvases · 6 steps · first draft 30 ms, commit 60 ms · "
        "output 50, effective 80 tok/s",
    ]
    assert not terminal.screen.cursor.hidden
    assert terminal.screen.cursor.x == 0


def test_a_broken_off_answer_leaves_what_was_committed_and_a_cursor() -> None:
    terminal = Terminal(60, 8)
    with pytest.raises(KeyboardInterrupt), LiveCanvas(console(terminal)) as canvas:
        canvas.show(commit(0, "7 8 9"))
        canvas.show(snapshot(1, 1, " x", "y"))
        raise KeyboardInterrupt
    assert terminal.rows == ["7 8 9"]
    assert not terminal.screen.cursor.hidden
    assert terminal.screen.cursor.x == 0


def test_a_draft_higher_than_the_terminal_is_cut_and_leaves_nothing_behind() -> None:
    terminal = Terminal(20, 5)
    tall = snapshot(0, 1, *(f"word{number} " for number in range(60)))
    draw(terminal, STARTED, tall, replace(tall, step=2), commit(0, "short"), COMPLETED)
    assert terminal.rows[:2] == ["short", "5 tokens · 2"]


def test_settled_and_unsettled_tokens_differ_in_colour() -> None:
    terminal = Terminal(60, 8)
    first = snapshot(0, 1, "a", "b")
    second = replace(first, step=2, accepted=(True, False))
    with LiveCanvas(console(terminal)) as canvas:
        canvas.show(first)
        canvas.show(second)
        settled, unsettled = terminal.screen.buffer[0][0], terminal.screen.buffer[0][1]
    assert (settled.fg, settled.bold) == ("default", True)
    assert unsettled.fg != "default"


def test_without_colours_settled_tokens_are_bold_and_the_others_are_not() -> None:
    terminal = Terminal(60, 8)
    first = snapshot(0, 1, "a", "b")
    second = replace(first, step=2, accepted=(True, False))
    with LiveCanvas(console(terminal, no_color=True)) as canvas:
        canvas.show(first)
        canvas.show(second)
        settled, unsettled = terminal.screen.buffer[0][0], terminal.screen.buffer[0][1]
    assert (settled.fg, settled.bold) == ("default", True)
    assert (unsettled.fg, unsettled.bold) == ("default", False)


def test_a_frame_is_one_write_that_erases_nothing_before_it_is_drawn_over() -> None:
    class Recording(io.StringIO):
        def __init__(self) -> None:
            super().__init__()
            self.writes: list[str] = []

        def write(self, text: str) -> int:
            self.writes.append(text)
            return super().write(text)

    output = Recording()
    with LiveCanvas(Console(file=output, force_terminal=True, width=60, height=8)) as canvas:
        canvas.show(STARTED)
        output.writes.clear()
        canvas.show(snapshot(0, 1, "a", "b"))
        written = [write for write in output.writes if write]
    [frame] = written
    assert frame.startswith("\x1b[?2026h")
    assert frame.endswith("\x1b[J\x1b[?2026l")
    assert "\x1b[2K" not in frame


def test_a_thought_is_dimmed_and_stands_on_lines_of_its_own() -> None:
    terminal = Terminal(60, 8)
    call = ToolCall(id="call_0", name="weather", arguments={"city": "Oslo", "days": 2})
    thinking = replace(commit(0, ""), thought_delta="I need it.")
    calling = replace(commit(1, "Let me see."), tool_calls=(call, call))
    with LiveCanvas(console(terminal)) as canvas:
        for event in (STARTED, thinking, calling):
            canvas.show(event)
    written = 'weather {"city": "Oslo", "days": 2}'
    assert terminal.rows == ["I need it.", "Let me see.", written, written]
    thought, text, called = (terminal.screen.buffer[row][0] for row in range(3))
    assert (thought.italics, text.italics, called.italics) == (True, False, False)
    assert (text.fg, called.fg) == ("default", "cyan")


def test_a_thought_that_goes_on_in_the_next_canvas_stays_on_its_line() -> None:
    terminal = Terminal(60, 8)
    first, second = (
        replace(commit(index, ""), thought_delta=text) for index, text in enumerate(("I ", "see"))
    )
    draw(terminal, STARTED, first, second, commit(2, "yes"))
    assert terminal.rows == ["I see", "yes"]


def test_the_settled_part_of_a_draft_that_is_thought_is_told_apart() -> None:
    terminal = Terminal(60, 8)
    spans = (Span(kind="thought", start=0, length=2),)
    first = replace(snapshot(0, 1, "a", "b", "c"), spans=spans, accepted=(True, False, True))
    with LiveCanvas(console(terminal)) as canvas:
        canvas.show(first)
        canvas.show(replace(first, step=2))
        thought, unsettled, text = (terminal.screen.buffer[0][column] for column in range(3))
    assert (thought.italics, thought.bold) == (True, False)
    assert not unsettled.italics
    assert (text.italics, text.bold) == (False, True)
