"""The flags of `python -m palimpsest.engine.simulation`, their bounds and what they mean."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

from palimpsest.engine.capacity import DEFAULT_MAX_NUM_SEQS, DEFAULT_PREFILL_TOKENS
from palimpsest.engine.flags import OneLineParser
from palimpsest.engine.options import MAX_MODEL_LEN, MAX_NUM_SEQS
from palimpsest.engine.simulation import load, machine
from palimpsest.engine.simulation.h200 import H200
from palimpsest.engine.simulation.loads import FLOOD, MIXED
from palimpsest.engine.simulation.routing import POLICIES

PROG = "python -m palimpsest.engine.simulation"
LOADS = {one.name: one for one in (MIXED, FLOOD)}
MACHINES = {H200.name: H200}
MOST_REQUESTS = 10_000_000
MOST_REPLICAS = 100_000
MOST_SEED = 2**64 - 1

_ABOUT = """\
How our scheduler does under a load, on a machine, in simulated time. Scheduler, pages and cache are
the very ones that serve; only how long a pass takes comes from a table. The built-in machine is a
prediction for one H200 that nobody has measured yet."""

_EXAMPLES = f"""\
examples:
  {PROG}
  {PROG} --rate 1 2 3 4 5 6 --out runs/mixed
  {PROG} --load flood --rate 10 20 --requests 2000 --out runs/flood
  {PROG} --replicas 1000 --kv-cache-memory 8 --rate 3000 --requests 50000
  {PROG} --replicas 8 --routing prefix-affinity --rate 30 --json
  {PROG} --machine card.json --load traffic.json --max-prefill-tokens 512

--out writes run.json, rates.png (throughput and time to first draft), queues.png (classes) and,
for two shares and more, service.png (work for each over time, at the last rate).

exit codes: 0 done, 2 bad input, 130 Ctrl-C."""


def parser() -> argparse.ArgumentParser:
    """All flags."""
    files = f"{_of(load.__doc__)}\n{_of(machine.__doc__)}"
    whole = OneLineParser(
        prog=PROG,
        description=_ABOUT,
        epilog=f"{_EXAMPLES}\n\n{files}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_what(whole)
    _add_engine(whole)
    whole.add_argument("--json", action="store_true", help="print everything as one JSON object")
    whole.add_argument("--out", type=Path, metavar="DIR", help="folder for run.json and pictures")
    return whole


def _add_what(whole: argparse.ArgumentParser) -> None:
    whole.add_argument(
        "--load",
        default=MIXED.name,
        metavar="LOAD",
        help=f"{' or '.join(LOADS)}, or a file (default: {MIXED.name})",
    )
    whole.add_argument(
        "--machine",
        default=H200.name,
        metavar="MACHINE",
        help=f"{' or '.join(MACHINES)}, or a file (default: {H200.name})",
    )
    whole.add_argument(
        "--rate",
        type=_number("above 0", math.ulp(0.0)),
        nargs="+",
        default=[1.0, 2.0, 4.0],
        metavar="R",
        help="requests a second over all engines, one run for each (default: 1 2 4)",
    )
    whole.add_argument(
        "--requests",
        type=_count(MOST_REQUESTS),
        default=1_000,
        metavar="N",
        help="of each run (default: 1000)",
    )
    whole.add_argument(
        "--seed",
        type=_count(MOST_SEED, low=0),
        default=0,
        metavar="S",
        help="the same seed is the same run (default: 0)",
    )


def _add_engine(whole: argparse.ArgumentParser) -> None:
    whole.add_argument(
        "--replicas",
        type=_count(MOST_REPLICAS),
        default=1,
        metavar="N",
        help="engines (default: 1)",
    )
    whole.add_argument(
        "--routing",
        choices=POLICIES,
        default="least-loaded",
        help="which engine a request goes to (default: least-loaded)",
    )
    whole.add_argument(
        "--max-num-seqs",
        type=_count(MAX_NUM_SEQS),
        default=DEFAULT_MAX_NUM_SEQS,
        metavar="N",
        help=f"canvases at once, of each engine (default: {DEFAULT_MAX_NUM_SEQS})",
    )
    whole.add_argument(
        "--max-prefill-tokens",
        type=_count(MAX_MODEL_LEN),
        default=DEFAULT_PREFILL_TOKENS,
        metavar="N",
        help=f"prompt tokens of one pass (default: {DEFAULT_PREFILL_TOKENS})",
    )
    whole.add_argument(
        "--kv-cache-memory",
        type=_number("above 0", math.ulp(0.0)),
        metavar="GIB",
        help="of each engine, for keys and values (default: what the machine says)",
    )
    whole.add_argument(
        "--overhead-ms",
        type=_number("from 0 on", 0.0),
        default=0.0,
        metavar="MS",
        help="added to each pass, for what is not in the machine's times (default: 0)",
    )


def _count(most: int, low: int = 1) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {low} to {most}")
        return value

    return parse


def _number(expected: str, low: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value < math.inf:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number {expected}")
        return value

    return parse


def _of(text: str | None) -> str:
    """A module's description of its file, without the sentence about the module."""
    return (text or "").partition("\n\n")[2]
