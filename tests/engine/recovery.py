"""`make recovery`: quantises a checkpoint to every format in a temporary folder, asks each one the
same questions, and prints what of the accuracy is kept, beside errors of weights and single steps.

Runs the commands that a user would. The figures are of weights: on a CPU they are expanded to fp32
and activations are not rounded. What is measured is written to OUT, with every answer.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from palimpsest.engine.quantiser.formats import FORMATS
from palimpsest.engine.training.skills import HARD, SKILLS
from palimpsest.engine.training.suites import write

BARS = {"fp8-dynamic": 0.99, "nvfp4": 0.99, "w6a8": 0.99, "w4a8": 0.97}
"""Shares of the BF16 accuracy that each format should keep."""
Json = dict[str, Any]


def main() -> None:
    args = _parser().parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    write(args.out / "suite", [s for s in SKILLS if s not in HARD], count=args.items)
    write(args.out / "suite", sorted(HARD), count=args.hard_items)
    with tempfile.TemporaryDirectory() as scratch:
        folders = {format: _quantised(args.model, Path(scratch), format) for format in FORMATS}
        rows = [row for thinking in args.thinking for row in _ask(args, thinking, folders)]
        steps = [str(folder) for folder in folders.values()]
        words = ["--items", str(args.step_items)]
        told = _palimpsest("palimpsest.engine.recovery", args.model, *steps, *words)
    table = Console(width=140, record=True)
    table.print(_table(rows))
    (args.out / "recovery.txt").write_text(table.export_text(), encoding="utf-8")
    document = {"accuracy": rows, **json.loads(told)}
    (args.out / "recovery.json").write_text(json.dumps(document, indent=1) + "\n")


def _quantised(model: str, scratch: Path, format: str) -> Path:
    _palimpsest("palimpsest.cli", "quantize", model, str(scratch / format), "--format", format)
    return scratch / format


def _ask(args: argparse.Namespace, thinking: str, folders: dict[str, Path]) -> list[Json]:
    """BF16, then each format beside it."""
    base = _eval(args, args.model, args.out / f"bf16-{thinking}", thinking, [])
    rows = []
    for format, folder in folders.items():
        out = args.out / f"{format}-{thinking}"
        run = _eval(args, str(folder), out, thinking, ["--compare", str(base)])
        comparison = json.loads((run / "run.json").read_text())["comparison"]
        rows.append({"format": format, "thinking": thinking, "comparison": comparison})
    return rows


def _eval(args: argparse.Namespace, model: str, out: Path, thinking: str, more: list[str]) -> Path:
    words = ["--model", model, "--suite", str(args.out / "suite"), "--out", str(out), *more]
    if thinking != "items":
        words += ["--thinking", thinking]
    _palimpsest("palimpsest.cli", "eval", *words, "--json")
    return out


def _palimpsest(module: str, *words: str) -> str:
    """Runs a command and returns what it printed; its progress and its errors are seen."""
    command = [sys.executable, "-m", module, *words]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def _table(rows: list[Json]) -> Table:
    table = Table(
        "format",
        "thinking",
        "kept of all skills",
        "95 %",
        "bar",
        *(f"kept of {skill}" for skill in sorted(HARD)),
        "steps, hard",
        title="accuracy kept of BF16",
    )
    for row in rows:
        skills = {one["skill"]: one for one in row["comparison"]["skills"]}
        hard = [skills[skill] for skill in sorted(HARD)]
        table.add_row(
            row["format"],
            row["thinking"],
            *_kept(row["format"], row["comparison"]),
            *(_kept_of(one) for one in hard),
            ", ".join(_steps(one) for one in hard),
        )
    return table


def _kept(format: str, comparison: Json) -> tuple[str, str, str]:
    """Mean over the skills, its interval and whether that is enough."""
    bases = [skill["base"]["accuracy"]["value"] for skill in comparison["skills"]]
    mean, difference = sum(bases) / len(bases), comparison["difference"]
    recovery = comparison["recovery"]
    if recovery is None or mean == 0:
        return "-", "-", "-"
    # the interval of the difference, which is known, as shares of the base's accuracy
    low, high = (1 + difference[end] / mean for end in ("low", "high"))
    met = "met" if recovery >= BARS[format] else "MISSED"
    return f"{recovery:.2%}", f"{low:.2%} to {high:.2%}", f"{BARS[format]:.0%} {met}"


def _kept_of(skill: Json) -> str:
    base, difference = skill["base"]["accuracy"]["value"], skill["difference"]
    if not base:
        return f"- (n {skill['run']['items']:,})"
    low, high = (1 + difference[end] / base for end in ("low", "high"))
    return f"{skill['recovery']:.1%} ({low:.1%} to {high:.1%}, n {skill['run']['items']:,})"


def _steps(skill: Json) -> str:
    before, after = (skill[side]["steps_per_canvas"] for side in ("base", "run"))
    return f"{before:.2f} → {after:.2f}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="recovery", description=__doc__)
    parser.add_argument("--model", default="bundled", help="a BF16 checkpoint")
    parser.add_argument("--out", type=Path, default=Path("build/recovery"))
    parser.add_argument("--items", type=int, default=200, help="of each skill")
    parser.add_argument("--hard-items", type=int, default=1000, help="of each hard skill")
    parser.add_argument("--step-items", type=int, default=20, help="of each skill, step by step")
    parser.add_argument(
        "--thinking",
        nargs="+",
        choices=("on", "off", "items"),
        default=["on", "off"],
        help="for all questions, or as the items say",
    )
    return parser


if __name__ == "__main__":
    main()
