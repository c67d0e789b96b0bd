"""`palimpsest trace`: one answer's steps in time, as a table and, if asked for, a picture."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import sys
from functools import partial
from pathlib import Path

from rich.table import Table
from rich.text import Text

from palimpsest import sampling_flags
from palimpsest.client import Client
from palimpsest.console import Console
from palimpsest.errors import InvalidRequest
from palimpsest.interrupts import interruptible
from palimpsest.requests import Preview
from palimpsest.timeline.line import StepBar, Timeline

EXAMPLES = """\
examples:
  palimpsest trace "count from 1 to 40"
  palimpsest trace "count from 1 to 40" --out steps.png
  palimpsest trace "add 27 and 48" --think --json | jq '.steps[].figures.step_s'

No collector is needed; for every request of a server, see OTEL_EXPORTER_OTLP_ENDPOINT."""

EVERY_STEP = Preview(mode="metadata", max_rate_hz=1_000.0)
BAR_CELLS = 16


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prompt", help="what to answer")
    parser.add_argument("--json", action="store_true", help="the timeline as one JSON object")
    parser.add_argument("--out", type=Path, metavar="FILE.png", help="draw it; needs matplotlib")


def run(client: Client, args: argparse.Namespace) -> None:
    """Answers the prompt, then shows where its time went. Raises InvalidRequest for `--out`."""
    if args.out is not None:
        _check(args.out)
    stream = partial(
        client.stream,
        args.prompt,
        preview=EVERY_STEP,
        enable_thinking=args.enable_thinking,
        **sampling_flags.sampling(args),
    )
    with interruptible(stream) as events:
        line = Timeline.of(events)
    try:
        _show(line, args)
    finally:
        # also where whoever reads it has left
        if args.out is not None:
            # Late: matplotlib takes a second to load.
            from palimpsest.timeline.plot import draw

            draw(line, args.prompt, args.out)
            print(f"drawn into {args.out}", file=sys.stderr)


def _show(line: Timeline, args: argparse.Namespace) -> None:
    if args.json:
        print(json.dumps(as_json(line)))
    else:
        print(f"prompt of {line.prompt_tokens} tokens, {line.cached_tokens} of them cached")
        Console(highlight=False).print(table(line))
        if line.missed:
            print(f"{line.missed} steps came too fast to be reported", file=sys.stderr)


def as_json(line: Timeline) -> dict[str, object]:
    """For programs; seconds."""
    return {
        "queue_s": line.queue_s,
        "prefill_s": line.prefill_s,
        "prompt_tokens": line.prompt_tokens,
        "cached_tokens": line.cached_tokens,
        "missed_steps": line.missed,
        "steps": [dataclasses.asdict(step) for step in line.steps],
    }


def table(line: Timeline) -> Table:
    """A row for everything that took time."""
    rows = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for name in ("", "at ms", "ms", "waited"):
        rows.add_column(name, justify="right" if name else "left", no_wrap=True)
    rows.add_column("", width=BAR_CELLS)
    for name in ("entropy", "accepted", "changed", "batch"):
        rows.add_column(name, justify="right", no_wrap=True)
    whole = max(line.end_s, 1e-9)
    rows.add_row("queue", "0.0", _ms(line.queue_s), "", _bar(0.0, line.queue_s, whole))
    reading = _bar(line.queue_s, line.prefill_s, whole)
    rows.add_row("prefill", _ms(line.queue_s), _ms(line.prefill_s), "", reading)
    for index, steps in line.canvases().items():
        rows.add_row(Text(f"canvas {index + 1}", "bold"), _ms(steps[0].start_s))
        for step in steps:
            rows.add_row(*_cells(step, whole))
    return rows


def _cells(step: StepBar, whole_s: float) -> tuple[str | Text, ...]:
    figures = step.figures
    return (
        f"  step {step.step}",
        _ms(step.start_s),
        _ms(figures.step_s),
        "" if figures.queue_s is None else _ms(figures.queue_s),
        _bar(step.start_s, figures.step_s, whole_s),
        f"{figures.mean_entropy:.2f}",
        f"{figures.accepted_count}",
        f"{figures.changed_count}",
        f"{figures.batch_size}",
    )


def _bar(start_s: float, duration_s: float, whole_s: float) -> Text:
    """Where in the whole it lies, at least one cell long."""
    first = min(int(BAR_CELLS * start_s / whole_s), BAR_CELLS - 1)
    cells = max(1, round(BAR_CELLS * duration_s / whole_s))
    return Text(" " * first + "━" * min(cells, BAR_CELLS - first), "cyan")


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.1f}"


def _check(out: Path) -> None:
    if out.suffix.lower() != ".png":
        raise InvalidRequest(f"--out: {out} does not end in .png")
    if not out.parent.is_dir():
        raise InvalidRequest(f"--out: {out.parent} is no folder")
    if importlib.util.find_spec("matplotlib") is None:
        raise InvalidRequest("--out: matplotlib is missing: pip install 'palimpsest[eval]'")
