"""`palimpsest top`: an engine, live in the terminal, or one state a line as JSON."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
import time
from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial

from rich.text import Text

from palimpsest.client import Client
from palimpsest.console import Console
from palimpsest.errors import Unavailable
from palimpsest.interrupts import interruptible
from palimpsest.terminal import Region
from palimpsest.watching import CanvasInFlight, EngineState

EXAMPLES = """\
examples:
  palimpsest top
  palimpsest top --address gpu-7:50051 --interval 0.2
  palimpsest top --json --once | jq .waiting_requests

Ctrl-C ends it. Nothing is asked of the model: watching costs it nothing."""

DEFAULT_ADDRESS = "127.0.0.1:50051"
RETRY_S = 1.0
"""Between looks for a server that does not answer."""
HISTORY = 60
"""States that the curve shows."""
BAR_CELLS = 16
_CURVE = " ▁▂▃▄▅▆▇█"
_PHASE_STYLES = {"serving": "green", "loading": "yellow", "draining": "yellow"}


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--address",
        type=_address,
        metavar="HOST:PORT",
        default=DEFAULT_ADDRESS,
        help="the server to watch (default: %(default)s)",
    )
    parser.add_argument(
        "--interval",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="time between looks, 0.02 to 60 (default: 1)",
    )
    parser.add_argument("--json", action="store_true", help="one state a line")
    parser.add_argument("--once", action="store_true", help="look once")


def run(client: Client, args: argparse.Namespace) -> None:
    """Watches until interrupted."""
    watch = partial(client.watch_engine, interval_s=args.interval, canvases=True)
    if args.json or args.once or not sys.stdout.isatty():
        with interruptible(watch) as states:
            for state in states:
                print(json.dumps(dataclasses.asdict(state)) if args.json else _told(state))
                if args.once:
                    return
                sys.stdout.flush()
    with Region(Console(highlight=False)) as region:
        speeds: deque[float] = deque(maxlen=HISTORY)
        while True:
            try:
                with interruptible(watch) as states:
                    for state in states:
                        speeds.append(state.output_tokens_per_second)
                        region.draw(picture(state, speeds, region.width, region.height))
            except Unavailable:
                region.draw([Text(f"{args.address} does not answer; trying again", "yellow")])
                time.sleep(RETRY_S)


def _address(text: str) -> str:
    # elsewhere an empty one stands for a server of one's own, in which there is nothing to watch
    if not text:
        raise argparse.ArgumentTypeError("is empty")
    return text


def picture(state: EngineState, speeds: Iterable[float], width: int, height: int) -> list[Text]:
    """Rows that fit: the engine, its speeds, and as many canvases as there is room for."""
    rows = [_engine(state), _work(state), _cache(state), _speeds(state, tuple(speeds)), Text()]
    rows += [_canvas(canvas) for canvas in state.canvases]
    if len(rows) > height:
        left = len(rows) - height + 1
        rows = [*rows[: height - 1], Text(f"… and {left} more", "dim")]
    for row in rows:
        row.truncate(width)
    return rows


def _told(state: EngineState) -> str:
    """Everything as lines of text."""
    rows = [_engine(state), _work(state), _cache(state), _speeds(state, ())]
    return "\n".join(row.plain for row in (*rows, *map(_canvas, state.canvases)))


def _engine(state: EngineState) -> Text:
    row = Text.assemble(
        (state.model or "no model yet", "bold"),
        "  ",
        (state.phase, _PHASE_STYLES.get(state.phase, "red")),
    )
    if state.restarts:
        row.append(f"  started again {state.restarts} times", "red")
    return row


def _work(state: EngineState) -> Text:
    return _figures(
        ("running", f"{state.running_requests}"),
        ("waiting", f"{state.waiting_requests}"),
        ("last step", f"{state.last_step_s * 1e3:.1f} ms, {_canvases(state.last_batch_size)}"),
        ("steps/s", f"{state.steps_per_second:.1f}"),
    )


def _canvases(count: int) -> str:
    return "1 canvas" if count == 1 else f"{count} canvases"


def _cache(state: EngineState) -> Text:
    share = state.used_pages / max(state.total_pages, 1)
    row = Text("pages ", "dim")
    row.append_text(_bar(share))
    row.append(f" {state.used_pages} of {state.total_pages}")
    if state.used_memory_bytes is not None:
        row.append_text(Text("  memory ", "dim"))
        row.append(f"{state.used_memory_bytes / 2**30:.1f} GiB")
    return row


def _speeds(state: EngineState, curve: Sequence[float]) -> Text:
    row = _figures(
        ("tokens/s", f"{state.output_tokens_per_second:,.0f}"),
        ("with padding", f"{state.effective_tokens_per_second:,.0f}"),
        ("canvases/step", f"{state.canvases_per_step:.1f}"),
    )
    highest = max(curve, default=0.0)
    if highest > 0:
        steps = len(_CURVE) - 1
        row.append("".join(_CURVE[round(steps * one / highest)] for one in curve), "cyan")
    return row


def _canvas(canvas: CanvasInFlight) -> Text:
    row = _bar(canvas.step / max(canvas.max_denoising_steps, 1))
    row.append(f" step {canvas.step:>3} of {canvas.max_denoising_steps:<3}")
    row.append(f"  accepted {canvas.accepted_count:>3}  entropy {canvas.mean_entropy:5.2f}", "dim")
    row.append(f"  canvas {canvas.canvas_index}  ")
    row.append(canvas.request_id, "cyan")
    if canvas.candidate_index:
        row.append(f" #{canvas.candidate_index}", "dim")
    return row


def _figures(*figures: tuple[str, str]) -> Text:
    row = Text()
    for name, value in figures:
        row.append(f"{name} ", "dim")
        row.append(f"{value}   ")
    return row


def _bar(share: float) -> Text:
    # a little is more than nothing
    full = min(math.ceil(BAR_CELLS * share), BAR_CELLS)
    return Text.assemble(("━" * full, "cyan"), ("─" * (BAR_CELLS - full), "dim"))
