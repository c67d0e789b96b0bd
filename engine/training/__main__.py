"""`python -m palimpsest.engine.training`: trains the bundled model on the CPU.

Start it again with the same arguments to resume. The last step leaves OUT/checkpoint in the
published layout, and OUT/log.jsonl holds the loss of every 20 steps.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from ctypes.util import find_library
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from palimpsest.engine.config import read_config
from palimpsest.engine.training.export import export
from palimpsest.engine.training.loop import Recipe, Trainer, join

# Every step brings other sizes. oneDNN compiles its kernels anew for each that its small cache
# forgot, and glibc searches ever longer for room; jemalloc, where it is installed, does not: each
# makes steps twice as fast.
ENVIRONMENT = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "16000", "OMP_NUM_THREADS": "1"}
JEMALLOC = {"MALLOC_CONF": "dirty_decay_ms:-1,muzzy_decay_ms:-1,oversize_threshold:0"}


def main() -> None:
    arguments = _parser().parse_args()
    if arguments.rank is None:
        sys.exit(_launch(arguments))
    join(arguments.rank, arguments.processes, arguments.port)
    recipe = Recipe(steps=arguments.steps, seed=arguments.seed)
    config = read_config(arguments.config)
    trainer = Trainer(config, recipe, rank=arguments.rank, processes=arguments.processes)
    with _Log(arguments.out / "log.jsonl", recipe.steps, show=arguments.rank == 0) as log:
        trainer.run(arguments.out, log.report, save_every=arguments.save_every)
    if arguments.rank == 0:
        weights = trainer.model.state_dict()
        export(weights, arguments.config / "config.json", arguments.out / "checkpoint")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m palimpsest.engine.training", description=__doc__
    )
    bundled = Path(__file__).parent.parent / "bundled"
    parser.add_argument("--config", type=Path, default=bundled, help="folder with config.json")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for state, log and checkpoint"
    )
    parser.add_argument("--steps", type=int, default=4700)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--save-every", type=int, default=200, help="steps between saved states")
    parser.add_argument("--rank", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    return parser


def _launch(arguments: argparse.Namespace) -> int:
    """Runs this command once per process and waits; one that fails ends the others."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "palimpsest.engine.training", *sys.argv[1:]]
    command += ["--processes", str(arguments.processes), "--port", str(port)]
    children = [
        subprocess.Popen([*command, "--rank", str(rank)], env=_environment())
        for rank in range(arguments.processes)
    ]
    try:
        return max(abs(child.wait()) for child in children)
    finally:
        for child in children:
            child.terminate()


def _environment() -> dict[str, str]:
    library = find_library("jemalloc")
    preload = {"LD_PRELOAD": library, **JEMALLOC} if library else {}
    return {**os.environ, **ENVIRONMENT, **preload}


class _Log:
    """A progress bar for people and a JSON line every 20 steps for plots."""

    def __init__(self, path: Path, steps: int, *, show: bool) -> None:
        self.path = path
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            disable=not show or not sys.stderr.isatty(),
        )
        self.task = self.bar.add_task("training", total=steps)
        self.recent: list[dict[str, float]] = []
        self.began = time.monotonic()

    def __enter__(self) -> _Log:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def report(self, step: int, figures: dict[str, float]) -> None:
        text = "loss {loss:.3f}  short {short:.3f}  long {long:.3f}".format(**figures)
        self.bar.update(self.task, completed=step, description=text)
        self.recent.append(figures)
        if step % 20:
            return
        # a mean skips steps that had no example at full noise
        means = {
            name: sum(kept) / len(kept)
            for name in figures
            if (kept := [f[name] for f in self.recent if f[name] == f[name]])
        }
        self.recent.clear()
        line = {"step": step, "seconds": round(time.monotonic() - self.began, 1), **means}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
