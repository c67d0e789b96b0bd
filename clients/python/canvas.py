"""From a snapshot to glyphs on rows: which token looks how, and where lines break.

A draft token looks *settled* when the sampler accepted it in this step and it is the same as in the
snapshot drawn before; *fresh* when it was accepted but has just changed; otherwise the more faded,
the less probable the model finds it. Thoughts and calls that are settled or final look like what
they are. Tokens without text (padding, end of turn) are dots, so that the canvas is seen whole.
Knows nothing of terminals or escape codes.
"""

from __future__ import annotations

import enum
import functools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from palimpsest.events import Commit, Snapshot, ToolCall

BLANK = "·"
LINE_BREAK = "⏎"
UNPRINTABLE = "�"
TAB_CELLS = 4


class Look(enum.Enum):
    """How a glyph is drawn; `palimpsest.render` gives each a style."""

    COMMITTED = "committed"
    THOUGHT = "thought"
    CALL = "call"
    SETTLED = "settled"
    FRESH = "fresh"
    LIKELY = "likely"
    DOUBTFUL = "doubtful"
    NOISE = "noise"
    BLANK = "blank"


@dataclass(frozen=True, slots=True)
class Glyph:
    """One character with its look and its width in terminal cells."""

    text: str
    look: Look
    cells: int


Row = list[Glyph]
_SPAN_LOOKS = {"thought": Look.THOUGHT, "tool_call": Look.CALL}


def committed_glyphs(text: str) -> Row:
    """The glyphs of text that is final."""
    return _glyphs(text, Look.COMMITTED)


def commit_glyphs(commit: Commit, before: Look | None) -> Row:
    """The glyphs of what became final: thought, text and calls, each from the start of a line.

    `before` is the look of the last glyph committed before; None if there is none.
    """
    row: Row = []
    for text, look in (
        (commit.thought_delta, Look.THOUGHT),
        (commit.text_delta, Look.COMMITTED),
        *((_written(call), Look.CALL) for call in commit.tool_calls),
    ):
        if not text:
            continue
        if before not in (None, look) or before is Look.CALL:
            row += _glyphs("\n", look)
        row += _glyphs(text, look)
        before = look
    return row


def _written(call: ToolCall) -> str:
    return f"{call.name} {json.dumps(call.arguments, ensure_ascii=False)}"


def blank_glyphs(count: int) -> Row:
    """A canvas of which nothing is known yet."""
    return [Glyph(BLANK, Look.BLANK, 1)] * count


def draft_glyphs(snapshot: Snapshot, previous: Snapshot | None) -> Row:
    """The glyphs of a draft; `previous` is the snapshot of the same canvas drawn before it."""
    glyphs: Row = []
    parts = _parts(snapshot)
    for position, text in enumerate(snapshot.token_texts):
        look = _look(snapshot, previous, position)
        if not text:
            dried = look in (Look.SETTLED, Look.FRESH)
            glyphs.append(Glyph(BLANK, Look.BLANK if dried else look, 1))
            continue
        if look is not Look.SETTLED:
            # A line break that may vanish in the next step would make the picture jump.
            text = text.replace("\n", LINE_BREAK)
        else:
            look = parts.get(position, look)
        glyphs.extend(_glyphs(text, look))
    return glyphs


def _parts(snapshot: Snapshot) -> dict[int, Look]:
    """How the positions look, once settled, that are not plain text."""
    return {
        position: _SPAN_LOOKS[span.kind]
        for span in snapshot.spans
        for position in range(span.start, span.start + span.length)
    }


def _look(snapshot: Snapshot, previous: Snapshot | None, position: int) -> Look:
    if position < len(snapshot.accepted) and snapshot.accepted[position]:
        unchanged = (
            previous is not None
            and previous.token_ids[position : position + 1]
            == snapshot.token_ids[position : position + 1]
        )
        return Look.SETTLED if unchanged else Look.FRESH
    confidence = snapshot.confidence[position] if position < len(snapshot.confidence) else 0.0
    if confidence >= 0.6:
        return Look.LIKELY
    return Look.DOUBTFUL if confidence >= 0.25 else Look.NOISE


def printable(text: str) -> str:
    """Text of a model without what a terminal would obey."""
    return "".join(glyph.text for glyph in committed_glyphs(text))


def _glyphs(text: str, look: Look) -> Row:
    shown = text.replace("\r\n", "\n").replace("\t", " " * TAB_CELLS)
    return [_glyph(char, look) for char in shown]


# The same few characters come in every frame.
@functools.lru_cache(maxsize=4096)
def _glyph(char: str, look: Look) -> Glyph:
    # A model may write escape codes; no control character but the line break reaches a terminal.
    if char == "\n" or char.isprintable():
        return Glyph(char, look, cell_len(char))
    return Glyph(UNPRINTABLE, look, 1)


def wrap(glyphs: Iterable[Glyph], width: int) -> list[Row]:
    """Breaks glyphs into rows of at most `width` cells, between words where there is room to.

    A break swallows the space it falls on. All rows but the last stay as they are however the text
    goes on, so a prefix of rows that is committed can be printed for good.
    """
    rows: list[Row] = [[]]
    used = 0
    for glyph in glyphs:
        if glyph.text == "\n":
            rows.append([])
            used = 0
            continue
        if glyph.text == " " and used + glyph.cells > width:
            rows.append([])
            used = 0
            continue
        # Twice where a wide character does not fit behind the word that it ends.
        while rows[-1] and used + glyph.cells > width:
            kept = _break_point(rows[-1])
            rows[-1], carried = rows[-1][:kept], rows[-1][kept:]
            rows.append(carried)
            used = sum(each.cells for each in carried)
        rows[-1].append(glyph)
        used += glyph.cells
    return rows


def _break_point(row: Sequence[Glyph]) -> int:
    """How many glyphs of a full row stay on it when the next word does not fit."""
    for index in range(len(row), 0, -1):
        if row[index - 1].text == " " or row[index - 1].text == BLANK:
            return index
    return len(row)
