"""Progress of loading: a bar for people at a terminal, a few lines for a log."""

from __future__ import annotations

import io

from palimpsest.engine.api import Loading
from palimpsest.server.progress import Progress


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _load(stream: io.StringIO) -> str:
    progress = Progress(stream)
    for done in range(0, 101):
        progress.show(Loading(done_bytes=done * 1_000_000, total_bytes=100_000_000))
    progress.end()
    return stream.getvalue()


def test_a_log_gets_a_few_plain_lines() -> None:
    assert _load(io.StringIO()).splitlines() == [
        "loading: 0 of 100 MB",
        "loading: 25 of 100 MB",
        "loading: 50 of 100 MB",
        "loading: 75 of 100 MB",
        "loading: 100 of 100 MB",
    ]


def test_a_terminal_gets_one_bar_that_ends_its_line() -> None:
    drawn = _load(_Terminal())
    assert drawn.count("\n") == 1
    assert drawn.endswith("100%  100 of 100 MB \n")
    assert drawn.split("\r")[-1].count("█") == 30
