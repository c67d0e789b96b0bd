"""The flags of `palimpsest eval`, their bounds and what they mean."""

from __future__ import annotations

import argparse
from pathlib import Path

from palimpsest.evaluation.public import SUITES
from palimpsest.evaluation.suite import BUNDLED

EXAMPLES = """\
examples:
  palimpsest eval
  palimpsest eval --skills add sort --items 50 --out runs/quick
  palimpsest eval --address localhost:50051 --concurrency 32 --json > run.json
  palimpsest eval --suite questions.jsonl more/ --require 0.95
  palimpsest eval --suite gsm8k=/data/gsm8k/test.jsonl --thinking on
  palimpsest eval --model /models/quantised --compare runs/bf16/run.json

a line of a suite: {"prompt": "add 27 and 48", "expected": "75", "matcher": "number"}
  or "messages" (with "tools", "enable_thinking") for "prompt"; "images", "video", "id",
  "skill" and "max_output_tokens" if wanted. matchers: exact (default), strip, contains, regex,
  number, letter, json, tool_calls.

exit codes: 0 done, 1 a skill below --require or trouble at the server, 2 bad input."""


def add(parser: argparse.ArgumentParser) -> None:
    """Adds the flags, but for those that say where the server is."""
    _add_questions(parser)
    _add_sampling(parser)
    _add_results(parser)


def _add_questions(parser: argparse.ArgumentParser) -> None:
    public = ", ".join(f"{name}=FILE" for name in SUITES)
    parser.add_argument(
        "--suite",
        dest="suites",
        nargs="+",
        default=[BUNDLED],
        metavar="SUITE",
        help=f"{BUNDLED!r} (default), files or folders of JSON lines, or a public suite on disk: "
        f"{public}",
    )
    parser.add_argument("--skills", nargs="+", metavar="SKILL", help="ask these skills only")
    parser.add_argument(
        "--items", type=_count, metavar="N", help="ask the first N items of each skill only"
    )
    parser.add_argument(
        "--concurrency",
        type=_count,
        default=8,
        metavar="N",
        help="requests in flight (default: 8); the answers do not depend on it",
    )


def _add_sampling(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seed",
        type=_seed,
        default=0,
        metavar="S",
        help="the n-th item of a skill, from 0, is answered with seed S + n (default: 0)",
    )
    parser.add_argument(
        "--thinking",
        choices=("on", "off"),
        help="for all items, whatever they say (default: as they say, or else as the server does)",
    )
    parser.add_argument(
        "--max-output-tokens",
        type=_count,
        metavar="N",
        help="tokens of an answer at most, whatever its item says",
    )
    parser.add_argument(
        "--max-denoising-steps", type=_count, metavar="N", help="steps per canvas at most"
    )
    parser.add_argument(
        "--temperature",
        type=float,
        metavar="T",
        help="multiplies the temperature of the draw; 1 is the model's own, 0 takes the most "
        "likely token",
    )


def _add_results(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--compare",
        type=Path,
        metavar="RUN",
        help="run.json of an earlier run, or its folder: shows how much of its accuracy is kept",
    )
    parser.add_argument(
        "--require",
        type=_share,
        metavar="ACCURACY",
        help="end with code 1 if a skill is below this share of right answers, 0 to 1",
    )
    parser.add_argument("--json", action="store_true", help="the whole result as one JSON object")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="write run.json, items.jsonl, table.md and accuracy.png there",
    )


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is below 1")
    return value


def _seed(text: str) -> int:
    value = int(text)
    # Seeds on the wire are 64 bits; the items' numbers are added.
    if not 0 <= value < 2**63:
        raise argparse.ArgumentTypeError(f"{value} is not within 0 and 2^63 - 1")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{value} is not within 0 and 1")
    return value
