"""`palimpsest decide`: its flags, and the scores of labels as bars, as plain text or as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from rich.table import Table
from rich.text import Text

from palimpsest.canvas import printable
from palimpsest.client import Client
from palimpsest.console import Console
from palimpsest.decisions import Decision, Decisions

EXAMPLES = """\
examples:
  palimpsest decide "how many s are in mississ?" --labels 0,1,2,3,4
  palimpsest decide "is 7 greater than 3?" --labels yes,no --seed 7
  palimpsest decide "count the letter a in " --question banana --question cat --labels 0,1,2,3
  palimpsest decide "add 27 and 48" --label 75 --label 65 --steps 4 --json | jq '.best // empty'
  palimpsest decide - --labels spam,ham --calibration-temperature 2 < letter.txt

A terminal shows how probable each label is. In a pipe the best label comes out, a line for each
question."""
BAR_CELLS = 24


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds what the command takes besides where the server is."""
    parser.add_argument("prompt", help="what to answer; - reads it from the standard input")
    parser.add_argument(
        "--labels",
        metavar="A,B",
        help="the answers to score, with commas between them",
    )
    parser.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="TEXT",
        help="one more answer to score, commas and all; may be given several times",
    )
    parser.add_argument(
        "--question",
        action="append",
        metavar="TEXT",
        help="appended to the prompt as it is; may be given several times, and the prompt is read "
        "once",
    )
    parser.add_argument(
        "--raw", action="store_true", help="use the prompt as it is, without the chat template"
    )
    parser.add_argument("--steps", type=int, metavar="N", help="denoising steps (default: 1)")
    parser.add_argument(
        "--calibration-temperature",
        type=float,
        metavar="T",
        help="makes probabilities sharper below 1 and flatter above (default: 1)",
    )
    parser.add_argument("--seed", type=int, help="the same seed gives the same scores")
    parser.add_argument(
        "--json",
        action="store_true",
        help="one JSON object a line: a decision for each question, then completed",
    )


def run(client: Client, args: argparse.Namespace) -> None:
    """Asks, and writes the scores to the standard output."""
    prompt = sys.stdin.read().removesuffix("\n") if args.prompt == "-" else args.prompt
    questions = args.question or [""]
    decided = client.decide(
        None if args.raw else prompt,
        questions,
        labels=[*(args.labels.split(",") if args.labels else ()), *args.label],
        raw_text=prompt if args.raw else None,
        denoising_steps=args.steps,
        calibration_temperature=args.calibration_temperature,
        seed=args.seed,
    )
    if args.json:
        for record in json_records(questions, decided):
            print(json.dumps(record, ensure_ascii=False))
    elif sys.stdout.isatty():
        show(Console(highlight=False), [prompt + question for question in questions], decided)
    else:
        for decision in decided.decisions:
            print(decision.best.label)


def json_records(questions: Sequence[str], decided: Decisions) -> Iterator[dict[str, object]]:
    """Flat JSON objects whose `event` is their kind."""
    for question, decision in zip(questions, decided.decisions, strict=True):
        scores = [asdict(score) for score in decision.scores]
        best = decision.best.label
        yield {"event": "decision", "question": question, "best": best, "scores": scores}
    rest = asdict(decided)
    del rest["decisions"]
    yield {"event": "completed", **rest}


def show(console: Console, asked: Sequence[str], decided: Decisions) -> None:
    """A block of bars for each question, and what it took in the end."""
    for question, decision in zip(asked, decided.decisions, strict=True):
        console.print(Text.assemble(("> ", "bold cyan"), printable(question)))
        console.print(_bars(decision))
        console.print()
    usage = decided.usage
    console.print(
        f"{usage.prompt_tokens} prompt tokens, {usage.cached_prompt_tokens} of them cached · "
        f"{usage.denoising_steps} steps · {decided.duration_s * 1e3:.0f} ms · seed {decided.seed}",
        style="dim",
    )


def _bars(decision: Decision) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(overflow="fold")
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    for index, score in enumerate(decision.scores):
        filled = round(BAR_CELLS * score.probability)
        best = index == decision.best_index
        table.add_row(
            Text(printable(score.label)),
            Text.assemble(("━" * filled, "green"), ("╌" * (BAR_CELLS - filled), "dim")),
            f"{score.probability:.1%}",
            Text(f"log p {score.log_probability:.2f}", style="dim"),
            style="bold" if best else "",
        )
    return table
