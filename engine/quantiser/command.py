"""`palimpsest quantize`: its flags, and what it says while it works and in the end.

Exit codes: 0 done · 2 bad input · 130 Ctrl-C: the same command goes on with it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from palimpsest.engine.checkpoint import checkpoint_folder
from palimpsest.engine.errors import CheckpointError
from palimpsest.engine.flags import EXIT_BAD_INPUT, Console, OneLineParser
from palimpsest.engine.process import EXIT_INTERRUPTED
from palimpsest.engine.quantiser import report
from palimpsest.engine.quantiser.formats import FORMATS
from palimpsest.engine.quantiser.run import Done, quantise

EXAMPLES = """\
examples:
  palimpsest quantize /models/diffusiongemma-26B-A4B-it /models/dg-fp8 --format fp8-dynamic
  palimpsest quantize bundled build/tiny-nvfp4 --format nvfp4 --json
  palimpsest serve --model /models/dg-fp8

formats:
  fp8-dynamic  attention, dense MLP and experts in e4m3, a scale for each row; about half of BF16.
               The layout of compressed-tensors, which other servers load.
  nvfp4        dense MLP and experts in four bits, a scale for 16 columns; about a third.
               The layout of compressed-tensors, weights alone.
  w6a8         experts in six bits with a scale for 64 or 128 columns, the rest as in fp8-dynamic;
               about two fifths. Errors as in fp8-dynamic. This server's own layout.
  w4a8         experts in four bits so; about 30 %. Errors as in nvfp4. This server's own layout.

A run that is cut short goes on when the same command is given again. Beside the weights stand
quantize.json and quantize.png, with the error of each layer.

exit codes: 0 done, 2 bad input, 130 interrupted."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    args = _parser().parse_args(arguments)
    try:
        done = _quantise(args)
    except (CheckpointError, OSError) as error:
        print(f"palimpsest quantize: {' '.join(str(error).split())}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        print("palimpsest quantize: the same command goes on from here", file=sys.stderr)
        return EXIT_INTERRUPTED
    report.plot(done.record, args.target / report.PLOT)
    if args.json:
        print(json.dumps(report.as_json(done, args.target)))
    else:
        report.show(done, args.target, Console())
    return 0


def _quantise(args: argparse.Namespace) -> Done:
    source = checkpoint_folder(args.source, named="source")
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("quantising"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task("", total=None)
        return quantise(
            source,
            args.target,
            args.format,
            force=args.force,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="palimpsest quantize",
        description="Write a checkpoint with fewer bits.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("source", help="checkpoint folder, or 'bundled'")
    parser.add_argument("target", type=Path, help="folder to write; new, empty, or one to go on in")
    parser.add_argument("--format", choices=FORMATS, required=True)
    parser.add_argument(
        "--force",
        action="store_true",
        help="quantise what is quantised already; the errors of both add up",
    )
    parser.add_argument("--json", action="store_true", help="the errors as one JSON object")
    return parser
