"""Where a run goes: to the terminal, to the standard output as JSON, into a folder."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

from palimpsest.console import Console
from palimpsest.evaluation import records, table
from palimpsest.evaluation.lines import BadInput
from palimpsest.evaluation.records import Run

PIPE_CELLS = 160
"""Width of the tables where there is no terminal to fit into."""
PLOT_FILE = "accuracy.png"


def show(run: Run) -> None:
    """Prints tables, histogram and wrong examples."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PIPE_CELLS
    console.print(table.terminal(run))


def show_json(run: Run) -> None:
    """Prints the whole run as one JSON object."""
    print(json.dumps(records.record_of(run), ensure_ascii=False))


def make_folder(folder: Path) -> None:
    """Makes the folder of --out. Raises BadInput where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"--out: {folder} cannot be made: {error.strerror}") from error


def write(run: Run, folder: Path) -> None:
    """Writes run.json, items.jsonl, table.md and, if matplotlib is there, accuracy.png."""
    record = records.record_of(run)
    _write(folder / records.RUN_FILE, json.dumps(record, ensure_ascii=False, indent=1) + "\n")
    lines = [json.dumps(item, ensure_ascii=False) + "\n" for item in record["items"]]
    _write(folder / "items.jsonl", "".join(lines))
    _write(folder / "table.md", table.markdown(run))
    if can_draw(PLOT_FILE):
        # Not at the top: nothing else here needs matplotlib, which takes a second to load.
        from palimpsest.evaluation import plot

        plot.write(run, folder / PLOT_FILE)


def can_draw(picture: str) -> bool:
    """Whether matplotlib is there; where it is not, says that there will be no `picture`."""
    if importlib.util.find_spec("matplotlib") is not None:
        return True
    hint = "matplotlib is missing: pip install 'palimpsest[eval]'"
    print(f"palimpsest: no {picture}, as {hint}", file=sys.stderr)
    return False


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
