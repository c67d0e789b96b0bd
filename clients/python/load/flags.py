"""The flags of `palimpsest bench`, their bounds and what they mean."""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLES = """\
examples:
  palimpsest bench
  palimpsest bench --concurrency 1 8 64 --out runs/load
  palimpsest bench --address localhost:50051 --prompt "count from 1 to 40" --json
  palimpsest bench --concurrency 16 --long-share 0.1 --long-characters 3000

Times are the caller's: from sending a request to the arrival of its first draft, its first commit,
its end. Speeds are over all streams: output counts tokens of the answers, effective those of their
canvases."""

LEVELS = (1, 2, 4, 8, 16, 32, 64)
MOST_STREAMS = 4_096


def add(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of the command."""
    parser.add_argument(
        "--concurrency",
        type=_streams,
        nargs="+",
        default=list(LEVELS),
        metavar="N",
        help=f"streams at once, level after level (default: {' '.join(map(str, LEVELS))})",
    )
    parser.add_argument(
        "--requests-per-stream",
        type=_count,
        default=4,
        metavar="N",
        help="requests that each stream makes one after another (default: %(default)s)",
    )
    parser.add_argument(
        "--prompt", help="what every request asks (default: questions of the bundled suite)"
    )
    parser.add_argument(
        "--long-share",
        type=_share,
        default=0.0,
        metavar="SHARE",
        help="of the requests that have a long text before their question, 0 to 1 (default: 0)",
    )
    parser.add_argument(
        "--long-characters",
        type=_count,
        default=2_000,
        metavar="N",
        help="length of that text (default: %(default)s)",
    )
    parser.add_argument(
        "--max-output-tokens", type=_count, metavar="N", help="tokens of an answer at most"
    )
    parser.add_argument(
        "--max-denoising-steps", type=_count, metavar="N", help="steps per canvas at most"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="of the choice of questions (default: 0)"
    )
    parser.add_argument("--json", action="store_true", help="the whole result as one JSON object")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write bench.json and bench.png there"
    )


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is below 1")
    return value


def _streams(text: str) -> int:
    value = _count(text)
    if value > MOST_STREAMS:
        raise argparse.ArgumentTypeError(f"{value} is above {MOST_STREAMS}")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{value} is not within 0 and 1")
    return value
