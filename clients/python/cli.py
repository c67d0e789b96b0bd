"""The command `palimpsest`: reads the command line, finds or starts a server, runs one of the
subcommands, and turns every failure into one line and an exit code.

Exit codes: 0 done · 1 trouble at the server or with writing, a wrong answer in the demo, or a skill
below what eval requires · 2 bad input · 130 Ctrl-C · 141 nobody reads on · 143 terminated.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from types import FrameType
from typing import NoReturn

from palimpsest import answer, arguments, deciding, demo, sampling_flags, top
from palimpsest.answer import Form
from palimpsest.chat import Chat
from palimpsest.client import Client
from palimpsest.console import Console
from palimpsest.embedded import PROGRAMS, EmbeddedServer, exec_program
from palimpsest.errors import (
    EmbeddedServerError,
    InvalidRequest,
    NotFound,
    PalimpsestError,
    Unimplemented,
    invalid_field,
)
from palimpsest.evaluation.lines import BadInput
from palimpsest.interrupts import interruptible
from palimpsest.media import Image, Video
from palimpsest.requests import ALL_DRAFTS, EVERY_STEP, NO_DRAFTS, Canvas, Preview
from palimpsest.timeline import command as timeline

EXIT_TROUBLE = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 128 + signal.SIGINT
EXIT_BROKEN_PIPE = 128 + signal.SIGPIPE


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line (default: this process's); returns the exit code."""
    arguments_given = sys.argv[1:] if argv is None else list(argv)
    _prepare_process()
    try:
        if arguments_given and arguments_given[0] in PROGRAMS:
            # Their flags are their own, --help included.
            exec_program(arguments_given[0], arguments_given[1:])
        return _run_and_flush(arguments_given)
    except PalimpsestError as error:
        print(f"palimpsest: {error}", file=sys.stderr)
        return _exit_code(error)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read us has enough.
        _discard_output()
        return EXIT_BROKEN_PIPE
    except OSError as error:
        print(f"palimpsest: {error}", file=sys.stderr)
        _discard_output()
        return EXIT_TROUBLE


def _run_and_flush(arguments_given: Sequence[str]) -> int:
    try:
        return _run(arguments.parse(arguments_given))
    finally:
        # Python's own flush at its end would tell of a failure in words of its own.
        print(end="", flush=True)


def _discard_output() -> None:
    """Python must not fail once more at its end, on what is left to write."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(args: argparse.Namespace) -> int:
    if args.command == "eval":
        return _eval(args)
    if args.command == "bench":
        return _bench(args)
    with _client(args) as client:
        match args.command:
            case "generate":
                shown = [*map(Image, args.image), *map(Video, args.video)]
                _generate(client, args, None, shown)
            case "fill":
                _generate(client, args, Canvas(template=args.template), [])
            case "decide":
                deciding.run(client, args)
            case "chat":
                form = answer.suitable_form(drafts=args.drafts)
                sampling = sampling_flags.sampling(args)
                Chat(client, sampling, form, enable_thinking=args.enable_thinking).run()
            case "models":
                _models(client)
            case "trace":
                timeline.run(client, args)
            case "top":
                top.run(client, args)
            case "demo":
                return 0 if demo.run(client, as_json=args.json) else EXIT_TROUBLE
    return 0


@contextlib.contextmanager
def _client(args: argparse.Namespace) -> Iterator[Client]:
    """A client of the server at --address, or of one that lives as long as this block."""
    model = arguments.model_name(args)
    with _address(args) as address, Client(address, model=model, api_key=args.api_key) as client:
        yield client


@contextlib.contextmanager
def _address(args: argparse.Namespace) -> Iterator[str]:
    """--address, or that of a server that lives as long as this block."""
    if args.address:
        yield args.address
        return
    with contextlib.ExitStack() as stack:
        with Console(stderr=True).status("loading the model"):
            server = stack.enter_context(EmbeddedServer(model=args.model))
        yield server.address


def _generate(
    client: Client,
    args: argparse.Namespace,
    canvas: Canvas | None,
    shown: Sequence[Image | Video],
) -> None:
    prompt = sys.stdin.read().removesuffix("\n") if args.prompt == "-" else args.prompt
    if shown and args.raw:
        raise invalid_field("--raw", "raw text has no place for --image and --video")
    form = Form.JSON if args.json else answer.suitable_form(drafts=args.drafts)
    stream = partial(
        client.stream,
        None if args.raw else [*shown, prompt] if shown else prompt,
        raw_text=prompt if args.raw else None,
        canvas=canvas,
        preview=_preview(form, args),
        enable_thinking=args.enable_thinking,
        **sampling_flags.sampling(args),
    )
    with interruptible(stream) as events:
        answer.write(answer.slowly(events) if args.slow else events, form)


def _eval(args: argparse.Namespace) -> int:
    # Not at the top: the other commands need not wait a tenth of a second for it.
    from palimpsest.evaluation import command

    # A suite that cannot be used is refused before a server is started for it.
    plan = command.plan(args)
    with _address(args) as address:
        return command.run(plan, address)


def _bench(args: argparse.Namespace) -> int:
    # Late for the same reason.
    from palimpsest.evaluation.report import make_folder
    from palimpsest.load import command

    if args.out is not None:
        make_folder(args.out)
    with _address(args) as address:
        return command.run(args, address)


def _preview(form: Form, args: argparse.Namespace) -> Preview:
    if form is Form.PLAIN or not args.drafts:
        return NO_DRAFTS
    return EVERY_STEP if args.slow else ALL_DRAFTS


def _models(client: Client) -> None:
    for model in client.models():
        print(
            f"{model.name}  {model.parameter_count / 1e6:,.1f}M parameters, "
            f"canvas {model.canvas_length}, context {model.max_context_tokens}, "
            f"{model.dtype} on {model.device}"
        )


def _exit_code(error: PalimpsestError) -> int:
    match error:
        case BadInput() | InvalidRequest() | NotFound() | Unimplemented():
            return EXIT_BAD_INPUT
        case EmbeddedServerError(exit_code=code) if code == EXIT_BAD_INPUT:
            return EXIT_BAD_INPUT
        case _:
            return EXIT_TROUBLE


def _prepare_process() -> None:
    # Text of a model is UTF-8 wherever it goes, and its line ends are its own.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    # What cannot be read as text is refused by its place in the request, as in an argument.
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")
    # Leave by an exception, so that the terminal is restored and the embedded server ended.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
