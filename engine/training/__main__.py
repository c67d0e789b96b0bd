"""`python -m palimpsest.engine.training`: trains the bundled model, on a GPU if there is one.

Start it again with the same arguments to resume. The last step leaves OUT/checkpoint in the
published layout and OUT/training.png, a picture of OUT/log.jsonl.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
from ctypes.util import find_library
from dataclasses import replace
from pathlib import Path

import torch

from palimpsest.engine.config import read_config
from palimpsest.engine.training.compiled import compile_layers
from palimpsest.engine.training.export import export
from palimpsest.engine.training.log import RunLog
from palimpsest.engine.training.loop import Trainer, join
from palimpsest.engine.training.plot import plot
from palimpsest.engine.training.recipe import RECIPES

# Every step brings other sizes, and glibc searches ever longer for room. jemalloc, where it is
# installed, does not; memory that it keeps for more than seconds only adds up.
JEMALLOC = {"MALLOC_CONF": "dirty_decay_ms:5000,muzzy_decay_ms:5000"}


def main() -> None:
    arguments = _parser().parse_args()
    if arguments.rank is None:
        sys.exit(_launch(arguments))
    join(arguments.rank, arguments.processes, arguments.port)
    recipe = replace(RECIPES[arguments.recipe], seed=arguments.seed)
    trainer = Trainer(
        read_config(arguments.config),
        recipe,
        device=torch.device(arguments.device),
        rank=arguments.rank,
        processes=arguments.processes,
    )
    if arguments.start is not None:
        trainer.start_from(arguments.start)
    if arguments.compile:
        compile_layers(trainer.model)
    arguments.out.mkdir(parents=True, exist_ok=True)
    log = arguments.out / "log.jsonl"
    with RunLog(log, steps=recipe.steps, rank=arguments.rank) as watcher:
        trainer.run(arguments.out, watcher, save_every=arguments.save_every)
    if arguments.rank == 0:
        weights = trainer.model.state_dict()
        export(weights, arguments.config / "config.json", arguments.out / "checkpoint")
        plot(log, arguments.out / "training.png")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m palimpsest.engine.training", description=__doc__
    )
    parser.add_argument(
        "--config", type=Path, default=Path(__file__).parent, help="folder with config.json"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for state, log and checkpoint"
    )
    parser.add_argument(
        "--start", type=Path, help="checkpoint folder to begin with (default: random weights)"
    )
    parser.add_argument("--recipe", choices=RECIPES, default="bundled")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu"
    )
    parser.add_argument(
        "--processes", type=int, help="that share a step (default: one a core, or one on a GPU)"
    )
    parser.add_argument(
        "--compile", action="store_true", help="compile the layers: a minute, then faster steps"
    )
    parser.add_argument("--save-every", type=int, default=200, help="steps between saved states")
    parser.add_argument("--rank", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    return parser


def _launch(arguments: argparse.Namespace) -> int:
    """Runs this command once per process and waits; one that fails ends the others."""
    cores = 1 if arguments.device == "cuda" else os.cpu_count() or 1
    processes = arguments.processes or cores
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "palimpsest.engine.training", *sys.argv[1:]]
    command += ["--processes", str(processes), "--port", str(port)]
    children = [
        subprocess.Popen([*command, "--rank", str(rank)], env=_environment())
        for rank in range(processes)
    ]
    try:
        return max(abs(child.wait()) for child in children)
    finally:
        for child in children:
            child.terminate()


def _environment() -> dict[str, str]:
    library = find_library("jemalloc")
    preload = {"LD_PRELOAD": library, **JEMALLOC} if library else {}
    return {**os.environ, "OMP_NUM_THREADS": "1", **preload}


if __name__ == "__main__":
    main()
