"""Flags of the command line that say how an answer is sampled, and what they mean."""

from __future__ import annotations

import argparse
from pathlib import Path

from palimpsest.requests import ResponseFormat, Sampling


def sampling(args: argparse.Namespace) -> Sampling:
    """The sampling that the command line asks for."""
    return Sampling(
        max_output_tokens=args.max_output_tokens,
        max_denoising_steps=args.max_denoising_steps,
        temperature=args.temperature,
        seed=args.seed,
        stop_sequences=args.stop,
        thinking_budget=args.thinking_budget,
        response_format=_response_format(args),
    )


def _response_format(args: argparse.Namespace) -> ResponseFormat | None:
    if args.json_schema is not None:
        return ResponseFormat(json_schema=args.json_schema)
    if args.regex is not None:
        return ResponseFormat(regex=args.regex)
    return None if args.choice is None else ResponseFormat(choices=args.choice)


def _text_or_file(value: str) -> str:
    """JSON itself, or the name of a file that holds it."""
    if value.lstrip().startswith("{"):
        return value
    try:
        return Path(value).read_text(encoding="utf-8")
    except (OSError, ValueError) as problem:
        raise argparse.ArgumentTypeError(f"{value}: {problem}") from None


def add(parser: argparse.ArgumentParser) -> None:
    """The flags of commands that answer."""
    # What is not given is left to the model's own defaults.
    parser.add_argument("--seed", type=int, help="the same seed gives the same answer")
    parser.add_argument(
        "--max-output-tokens", type=int, metavar="N", help="tokens of the answer at most"
    )
    parser.add_argument(
        "--max-denoising-steps", type=int, metavar="N", help="steps per canvas at most"
    )
    parser.add_argument(
        "--temperature",
        type=float,
        metavar="T",
        help="multiplies the temperature of the draw; 1 is the model's own, 0 takes the most "
        "likely token",
    )
    parser.add_argument(
        "--stop",
        action="append",
        metavar="TEXT",
        help="end the answer before this text; may be given several times",
    )
    parser.add_argument(
        "--thinking-budget", type=int, metavar="N", help="tokens of thought at most"
    )
    parser.add_argument(
        "--no-drafts",
        dest="drafts",
        action="store_false",
        help="no drafts, only what is final",
    )
    _add_form(parser)


def _add_form(parser: argparse.ArgumentParser) -> None:
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--json-schema",
        type=_text_or_file,
        metavar="FILE",
        help="answer in JSON that validates against this JSON Schema: a file, or the schema itself",
    )
    form.add_argument(
        "--regex", metavar="PATTERN", help="answer with a text that matches this as a whole"
    )
    form.add_argument(
        "--choice",
        action="append",
        metavar="TEXT",
        help="answer with this text or another --choice; to be given several times",
    )
