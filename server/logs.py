"""Lines of the log: for people, or one JSON object each for programs.

Whoever logs figures gives them as `extra=figures(…)`, and they stand in both.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TextIO

FORMATS = ("text", "json")

Figure = str | int | float
_FIGURES = "figures"


def figures(**values: Figure | None) -> dict[str, Mapping[str, Figure]]:
    """For `extra`; what is None is left out."""
    return {_FIGURES: {name: value for name, value in values.items() if value is not None}}


def configure(form: str, stream: TextIO) -> None:
    """Log to `stream` in one of FORMATS: what we say, and warnings of libraries."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines() if form == "json" else Text())
    logging.basicConfig(handlers=[handler])
    logging.getLogger("palimpsest").setLevel(logging.INFO)


class Text(logging.Formatter):
    """One line, with figures as `name=value`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        told = (f" {name}={_shown(value)}" for name, value in _figures(record).items())
        return super().formatMessage(record) + "".join(told)


class JsonLines(logging.Formatter):
    """One object, with figures among its members."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Figure] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_figures(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def _figures(record: logging.LogRecord) -> Mapping[str, Figure]:
    return getattr(record, _FIGURES, {})


def _shown(value: Figure) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
