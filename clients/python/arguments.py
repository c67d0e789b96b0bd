"""The command line of `palimpsest`: what can be typed, what it means, and its help."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

import palimpsest
from palimpsest import deciding, sampling_flags, top
from palimpsest.evaluation import flags
from palimpsest.load import flags as load_flags
from palimpsest.requests import Sampling
from palimpsest.timeline import command as timeline

EXAMPLES = """\
examples:
  palimpsest generate "reverse the word: canvas"
  palimpsest generate "add 27 and 48" --seed 7 --json
  echo "count from 1 to 40" | palimpsest generate - --address localhost:50051
  palimpsest fill "reverse the word: canvas" "sav[[6]]"
  palimpsest decide "is 7 greater than 3?" --labels yes,no
  palimpsest chat
  palimpsest eval --items 50
  palimpsest bench --concurrency 1 8 64
  palimpsest top
  palimpsest trace "count from 1 to 40" --out steps.png
  palimpsest serve --model bundled --port 50051
  palimpsest quantize /models/bf16 /models/fp8 --format fp8-dynamic
  palimpsest inspect /models/fp8 --gpu-memory 24GB

Without --address a server of your own starts for as long as the command runs."""

GENERATE_EXAMPLES = """\
examples:
  palimpsest generate "reverse the word: canvas"
  palimpsest generate "reverse the word: canvas" --slow
  palimpsest generate "add 27 and 48" --temperature 0 --no-drafts
  palimpsest generate "add 27 and 48" --think
  palimpsest generate "add 27 and 48" --think --thinking-budget 20
  palimpsest generate "count from 1 to 40" --stop " 21" --stop "?"
  palimpsest generate "add 27 and 48" --regex "[0-9]{2}"
  palimpsest generate "count the letter a in banana" --choice 1 --choice 2 --choice 3
  palimpsest generate --image a.png --video b.mp4 "what is this?" --address localhost:50051
  palimpsest generate "who wrote Faust?" --json-schema book.json --address localhost:50051
  palimpsest generate "sort the letters: canvas" --seed 7 --json | jq .event
  palimpsest generate - < prompt.txt > answer.txt

In a terminal the canvas is drawn while it is written: bold is settled, colours still change.
In a pipe the answer comes out, and nothing else."""

FILL_EXAMPLES = """\
examples:
  palimpsest fill "count from 1 to 12" "1 2 3[[8]] 8 9 10 11 12"
  palimpsest fill "reverse the word: canvas" "sav[[6]]" --seed 7 --json | jq .event
  palimpsest fill - "Dear [[6]]," < prompt.txt

[[8]] is a gap of 8 tokens at most; everything else comes out as it is, byte for byte."""

CHAT_EXAMPLES = """\
examples:
  palimpsest chat
  palimpsest chat --address localhost:50051 --seed 7
  printf 'add 27 and 48\\nreverse the word: canvas\\n' | palimpsest chat

/help in the chat lists its commands."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Ends the process with exit code 2."""
        self.exit(2, f"{self.prog}: {message}\n")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments of a subcommand other than serve. Ends the process where they are wrong."""
    parser = Parser(
        prog="palimpsest",
        description="Text diffusion that you can watch: write, talk, or serve.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=palimpsest.__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_generate(commands)
    _add_fill(commands)
    _add_decide(commands)
    _add_chat(commands)
    models = commands.add_parser("models", help="list what a server serves")
    _add_connection(models)
    demo = commands.add_parser("demo", help="three prompts, live, with their latencies")
    _add_connection(demo)
    demo.add_argument("--json", action="store_true", help="one JSON object per prompt")
    _add_eval(commands)
    _add_bench(commands)
    _add_top(commands)
    _add_trace(commands)
    commands.add_parser("serve", help="start a server; serve --help lists its flags")
    commands.add_parser("quantize", help="write a checkpoint with fewer bits")
    commands.add_parser("inspect", help="say what a checkpoint is and what of it fits where")
    return parser.parse_args(argv)


def bench_sampling(args: argparse.Namespace) -> Sampling:
    """What holds for all requests of a load; each has a seed of its own."""
    return Sampling(
        max_output_tokens=args.max_output_tokens, max_denoising_steps=args.max_denoising_steps
    )


def model_name(args: argparse.Namespace) -> str:
    """Name of the model to ask for; empty is the server's default."""
    # A server of our own serves one model, under a name of its own.
    return (args.model or "") if args.address else ""


Commands = argparse._SubParsersAction  # argparse has no public name for what it returns


def _add_generate(commands: Commands[Parser]) -> None:
    generate = commands.add_parser(
        "generate",
        help="answer one prompt",
        epilog=GENERATE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    generate.add_argument("prompt", help="what to answer; - reads it from the standard input")
    for kind in ("image", "video"):
        generate.add_argument(
            f"--{kind}",
            action="append",
            default=[],
            metavar="FILE",
            help=f"{kind} that the prompt is about, a file or a URL that the server may fetch; may "
            "be given several times",
        )
    _add_output(generate)


def _add_output(parser: Parser) -> None:
    """What the commands that answer one prompt have in common."""
    template = parser.add_mutually_exclusive_group()
    template.add_argument(
        "--raw", action="store_true", help="use the prompt as it is, without the chat template"
    )
    _add_think(template)
    _add_connection(parser)
    sampling_flags.add(parser)
    parser.add_argument(
        "--json",
        action="store_true",
        help="one event a line: started, snapshot, commit, completed",
    )
    parser.add_argument(
        "--slow",
        action="store_true",
        help="show every step, and hold each for a moment; for models too fast to watch",
    )


def _add_fill(commands: Commands[Parser]) -> None:
    fill = commands.add_parser(
        "fill",
        help="fill the gaps of a template",
        epilog=FILL_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    fill.add_argument("prompt", help="what to answer; - reads it from the standard input")
    fill.add_argument("template", help="the answer, with [[N]] for each gap of N tokens")
    _add_output(fill)


def _add_decide(commands: Commands[Parser]) -> None:
    decide = commands.add_parser(
        "decide",
        help="say how probable each of some answers is",
        epilog=deciding.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    deciding.add_flags(decide)
    _add_connection(decide)


def _add_chat(commands: Commands[Parser]) -> None:
    chat = commands.add_parser(
        "chat",
        help="talk; earlier turns are remembered",
        epilog=CHAT_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_think(chat)
    _add_connection(chat)
    sampling_flags.add(chat)


def _add_think(arguments: argparse._ActionsContainer) -> None:
    # None, without the flag, leaves it to the server.
    arguments.add_argument(
        "--think",
        dest="enable_thinking",
        action="store_const",
        const=True,
        help="let the model think before it answers; a terminal shows the thought too, a pipe the "
        "answer alone",
    )


def _add_eval(commands: Commands[Parser]) -> None:
    evaluation = commands.add_parser(
        "eval",
        help="measure accuracy and speed on suites of questions",
        epilog=flags.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_connection(evaluation)
    flags.add(evaluation)


def _add_bench(commands: Commands[Parser]) -> None:
    bench = commands.add_parser(
        "bench",
        help="measure speed and waiting under load",
        epilog=load_flags.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_connection(bench)
    load_flags.add(bench)


def _add_top(commands: Commands[Parser]) -> None:
    watching = commands.add_parser(
        "top",
        help="watch a running server",
        epilog=top.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_flags(watching)
    _add_api_key(watching)
    watching.set_defaults(model="")


def _add_trace(commands: Commands[Parser]) -> None:
    tracing = commands.add_parser(
        "trace",
        help="answer one prompt and show where its time went",
        epilog=timeline.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    timeline.add_flags(tracing)
    _add_think(tracing)
    _add_connection(tracing)
    sampling_flags.add(tracing)


def _add_api_key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--api-key",
        metavar="KEY",
        help="what the server asks of its callers (default: the first in PALIMPSEST_API_KEY, where "
        "other users of this machine do not see it)",
    )


def _add_connection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="a running server; without it one is started for this command",
    )
    _add_api_key(parser)
    parser.add_argument(
        "--model",
        help="checkpoint folder for the server that is started (default: the bundled model); "
        "with --address, name of the model to ask for",
    )
