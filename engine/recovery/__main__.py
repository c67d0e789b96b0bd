"""`python -m palimpsest.engine.recovery BASE OTHER...`: how far quantised checkpoints are from the
one that they were made of, in weights and in the logits of single steps.

Weights are expanded to fp32 on a CPU, so activations are not rounded: what shows is what the
weights lost. Prompts are held-out questions of the bundled model's skills. Prints tables for people
and, as the last line, one JSON document.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from palimpsest.engine.checkpoint import checkpoint_folder, read_defaults
from palimpsest.engine.config import read_config
from palimpsest.engine.model import DiffusionGemma
from palimpsest.engine.recovery.steps import Divergence, divergences
from palimpsest.engine.recovery.weights import weight_errors
from palimpsest.engine.text import TextCodec
from palimpsest.engine.training.items import held_out_items
from palimpsest.engine.training.skills import SKILLS
from palimpsest.engine.weights import load_model

SEED = 2
PIPE_CELLS = 120


def main() -> None:
    args = _parser().parse_args()
    base = checkpoint_folder(args.base, named="base")
    console = Console(file=sys.stderr)
    if not console.is_terminal:
        console.width = PIPE_CELLS
    errors = weight_errors(base, args.base)
    console.print(_weights_table(errors))
    others = {path.name: _load(path) for path in args.others}
    found = divergences(_load(base), others, _prompts(base, args.items), read_defaults(base))
    console.print(_steps_table(found))
    steps = {name: _figures(one) for name, one in found.items()}
    print(json.dumps({"weight_errors": errors, "steps": steps}))


def _load(folder: Path) -> DiffusionGemma:
    config = read_config(folder)
    return load_model(folder, config, dtype=torch.float32, device=torch.device("cpu"))


def _prompts(folder: Path, count: int) -> list[list[int]]:
    codec = TextCodec(folder)
    return [
        codec.encode_chat(item.messages, tools=item.tools, enable_thinking=item.thinking)
        for task in SKILLS.values()
        for item in held_out_items(task, count, SEED)
    ]


def _weights_table(errors: dict[str, dict[str, float]]) -> Table:
    kinds = list(next(iter(errors.values())))
    table = Table("format", *kinds, title="relative error of experts (RMS)")
    for format, of_kinds in errors.items():
        table.add_row(format, *(f"{of_kinds[kind]:.2%}" for kind in kinds))
    return table


def _steps_table(found: dict[str, Divergence]) -> Table:
    table = Table(
        "checkpoint",
        "logit error",
        "same argmax",
        "KL, nats",
        "positions",
        title="one denoising step, from the same canvas",
    )
    for name, one in found.items():
        error, agreement = f"{one.logit_error:.2%}", f"{one.argmax_agreement:.3%}"
        table.add_row(name, error, agreement, f"{one.kl:.2e}", f"{one.positions:,}")
    return table


def _figures(one: Divergence) -> dict[str, float]:
    return asdict(one) | {
        "logit_error": one.logit_error,
        "argmax_agreement": one.argmax_agreement,
        "kl": one.kl,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m palimpsest.engine.recovery", description=__doc__
    )
    parser.add_argument("base", help="checkpoint folder, or 'bundled'")
    parser.add_argument("others", nargs="*", type=Path, help="folders of quantised ones")
    parser.add_argument("--items", type=int, default=20, help="questions of each skill")
    return parser


if __name__ == "__main__":
    main()
