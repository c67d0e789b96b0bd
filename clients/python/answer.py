"""Writes one streamed answer to the standard output: drawn, as plain text, or as lines of JSON.

Knows events and the standard output; not where the events come from.
"""

from __future__ import annotations

import enum
import json
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict

from palimpsest.canvas import printable
from palimpsest.console import Console
from palimpsest.events import Commit, Event, Snapshot
from palimpsest.render import LiveCanvas

HOLD_S = 0.08


class Form(enum.Enum):
    """How an answer is written."""

    LIVE = "live"
    """Drawn while it is being written; terminals only."""
    PLAIN = "plain"
    """Committed text alone, as it is committed."""
    JSON = "json"
    """One event a line."""


def suitable_form(*, drafts: bool) -> Form:
    """LIVE on a terminal that can move its cursor and if `drafts` are wanted, else PLAIN."""
    console = Console()
    able = console.is_terminal and not console.is_dumb_terminal
    return Form.LIVE if drafts and able else Form.PLAIN


def write(events: Iterable[Event], form: Form) -> str:
    """Writes the events of an answer as they come, and returns its text."""
    match form:
        case Form.LIVE:
            return _write_live(events)
        case Form.PLAIN:
            return _write_plain(events)
        case Form.JSON:
            return _write_json(events)


def slowly(events: Iterable[Event]) -> Iterator[Event]:
    """The same events, every draft held for as long as an eye needs.

    The server does not wait for this: it works on while the events pile up here.
    """
    for event in events:
        yield event
        if isinstance(event, Snapshot):
            time.sleep(HOLD_S)


def json_record(event: Event) -> dict[str, object]:
    """An event as a flat JSON object whose `event` is its kind."""
    record = {"event": type(event).__name__.lower(), **asdict(event)}
    return record | record.pop("figures", {})


def _write_live(events: Iterable[Event]) -> str:
    text = ""
    with LiveCanvas(Console(highlight=False)) as canvas:
        for event in events:
            canvas.show(event)
            text += _delta(event)
    return text


def _write_plain(events: Iterable[Event]) -> str:
    text = ""
    to_terminal = sys.stdout.isatty()
    for event in events:
        delta = _delta(event)
        text += delta
        # In a pipe the bytes are the answer's, no more and no less.
        sys.stdout.write(printable(delta) if to_terminal else delta)
        sys.stdout.flush()
    if to_terminal and not text.endswith("\n"):
        sys.stdout.write("\n")
    return text


def _write_json(events: Iterable[Event]) -> str:
    text = ""
    for event in events:
        text += _delta(event)
        print(json.dumps(json_record(event), ensure_ascii=False), flush=True)
    return text


def _delta(event: Event) -> str:
    return event.text_delta if isinstance(event, Commit) else ""
