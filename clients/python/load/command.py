"""`palimpsest bench`: level after level of streams at once, as a table, JSON and a picture."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.progress import Progress
from rich.table import Table

from palimpsest import arguments
from palimpsest.aio import AsyncClient
from palimpsest.client import Client
from palimpsest.console import Console
from palimpsest.evaluation import records, report
from palimpsest.load import figures, runner
from palimpsest.load.figures import Level, Quantiles
from palimpsest.load.questions import questions
from palimpsest.load.runner import Timing

EXIT_DONE, EXIT_FAILED = 0, 1
PLOT_FILE = "bench.png"


def run(args: argparse.Namespace, address: str) -> int:
    """Loads the server at `address`; 1 if a request failed."""
    with Client(address, model=arguments.model_name(args), api_key=args.api_key) as client:
        model = client.model()
    levels = asyncio.run(_levels(args, address))
    about = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": records.served(model),
        "server": args.address or "embedded",
        "machine": records.machine(),
        "versions": records.versions(),
        "settings": {
            "prompt": args.prompt or "questions of the bundled suite",
            "long_share": args.long_share,
            "long_characters": args.long_characters,
            "max_output_tokens": args.max_output_tokens,
            "max_denoising_steps": args.max_denoising_steps,
            "seed": args.seed,
        },
    }
    _report(args, levels, about)
    return EXIT_FAILED if any(level.failed for level in levels) else EXIT_DONE


async def _levels(args: argparse.Namespace, address: str) -> list[Level]:
    console = Console(stderr=True)
    async with AsyncClient(
        address, model=arguments.model_name(args), api_key=args.api_key
    ) as client:
        with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
            return [await _level(client, args, count, bars) for count in args.concurrency]


async def _level(
    client: AsyncClient, args: argparse.Namespace, concurrency: int, bars: Progress
) -> Level:
    requests = concurrency * args.requests_per_stream
    task = bars.add_task(f"{concurrency} at once", total=requests)
    timings: list[Timing] = []

    def note(timing: Timing) -> None:
        timings.append(timing)
        bars.advance(task)

    asked = questions(
        prompt=args.prompt,
        long_share=args.long_share,
        long_characters=args.long_characters,
        seed=args.seed,
    )
    await runner.run(
        client,
        asked,
        arguments.bench_sampling(args),
        concurrency=concurrency,
        requests=requests,
        report=note,
    )
    _complain(timings)
    return figures.level(concurrency, timings)


def _complain(timings: list[Timing]) -> None:
    errors = [timing.error for timing in timings if timing.error is not None]
    for error in errors[:1]:
        print(f"palimpsest: {len(errors)} failed, the first: {error}", file=sys.stderr)


def _report(args: argparse.Namespace, levels: list[Level], about: dict[str, Any]) -> None:
    document = {"about": about, "levels": [asdict(level) for level in levels]}
    try:
        if args.json:
            print(json.dumps(document, indent=2))
        else:
            Console().print(_table(levels, about))
    finally:
        # also where whoever reads it has left
        if args.out is not None:
            _write(args.out, levels, document)


def _write(folder: Path, levels: list[Level], document: dict[str, Any]) -> None:
    (folder / "bench.json").write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    if report.can_draw(PLOT_FILE):
        # Late: matplotlib takes a second to load.
        from palimpsest.load import plot

        plot.write(levels, document["about"], folder / PLOT_FILE)


def _table(levels: list[Level], about: dict[str, Any]) -> Table:
    model = about["model"]
    title = f"{model['name']}, {model['dtype']} on {model['device']}; waits in ms, p50 / p99"
    table = Table(box=SIMPLE_HEAD, title=title)
    columns = {
        "at once": lambda level: f"{level.concurrency}",
        "failed": lambda level: f"{level.failed}",
        "output\ntok/s": lambda level: f"{level.output_tokens_per_second:,.0f}",
        "effective\ntok/s": lambda level: f"{level.effective_tokens_per_second:,.0f}",
        "steps per\ncanvas": lambda level: f"{level.steps_per_canvas:.2f}",
        "first\ndraft": lambda level: _pair(level.time_to_first_draft_ms),
        "of long\nprompts": lambda level: _pair(level.time_to_first_draft_ms_long),
        "first\ncommit": lambda level: _pair(level.time_to_first_commit_ms),
        "whole\nanswer": lambda level: _pair(level.total_ms),
    }
    if not any(level.failed for level in levels):
        del columns["failed"]
    if all(level.time_to_first_draft_ms_long.p50 is None for level in levels):
        del columns["of long\nprompts"]
    for name in columns:
        table.add_column(name, justify="right")
    for level in levels:
        table.add_row(*(cell(level) for cell in columns.values()))
    return table


def _pair(quantiles: Quantiles) -> str:
    if quantiles.p50 is None or quantiles.p99 is None:
        return "-"
    return f"{quantiles.p50:,.0f} / {quantiles.p99:,.0f}"
