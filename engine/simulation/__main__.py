"""`python -m palimpsest.engine.simulation`: how our scheduler does under a load, on a machine."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from palimpsest.engine.simulation import flags, load, machine, table
from palimpsest.engine.simulation.fields import BadInput
from palimpsest.engine.simulation.figures import Figures, figures, record
from palimpsest.engine.simulation.progress import Bar
from palimpsest.engine.simulation.run import Plan, simulate
from palimpsest.engine.simulation.service import Service

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130
PIPE_CELLS = 140
"""Width of the tables where there is no terminal to fit into."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line (default: this process's); returns the exit code."""
    args = flags.parser().parse_args(argv)
    try:
        plans = _plans(args)
        if args.out is not None:
            _make(args.out)
        runs, service = _run(plans)
        document = {"about": _about(plans[0]), "runs": [record(run) for run in runs]}
        _show(plans[0], runs, json.dumps(document) if args.json else None)
        if args.out is not None:
            _write(args.out, plans[-1], runs, service, json.dumps(document, indent=1) + "\n")
    except BadInput as problem:
        print(f"{flags.PROG}: {problem}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return 0


def _plans(args: argparse.Namespace) -> list[Plan]:
    """One for each rate. Raises BadInput."""
    asked = flags.LOADS.get(args.load) or load.load(Path(args.load))
    runs_on = flags.MACHINES.get(args.machine) or machine.load(Path(args.machine))
    return [
        Plan(
            load=asked,
            machine=runs_on,
            rate=rate,
            requests=args.requests,
            seed=args.seed,
            replicas=args.replicas,
            routing=args.routing,
            max_num_seqs=args.max_num_seqs,
            prefill_tokens=args.max_prefill_tokens,
            cache_gib=args.kv_cache_memory,
            overhead_s=args.overhead_ms / 1000,
        )
        for rate in sorted(set(args.rate))
    ]


def _run(plans: Sequence[Plan]) -> tuple[list[Figures], Service]:
    """Figures of all runs, and the service of the last."""
    runs: list[Figures] = []
    services: list[Service] = []
    with Bar(sum(plan.requests for plan in plans)) as bar:
        for plan in plans:
            before = len(runs) * plan.requests
            run = simulate(plan, lambda ended, before=before: bar.update(before + ended))
            runs.append(figures(run))
            services.append(run.service)
    return runs, services[-1]


def _show(plan: Plan, runs: Sequence[Figures], document: str | None) -> None:
    if document is not None:
        print(document)
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PIPE_CELLS
    console.print(table.terminal(_title(plan), runs))


def _write(
    folder: Path, plan: Plan, runs: Sequence[Figures], service: Service, document: str
) -> None:
    try:
        (folder / "run.json").write_text(document, encoding="utf-8", newline="\n")
    except OSError as problem:
        raise BadInput(f"--out: {folder} cannot be written to: {problem.strerror}") from None
    if importlib.util.find_spec("matplotlib") is None:
        hint = "matplotlib is missing: pip install 'palimpsest[eval]'"
        print(f"{flags.PROG}: no pictures, as {hint}", file=sys.stderr)
        return
    # not at the top: nothing else here needs matplotlib, which takes a second to load
    from palimpsest.engine.simulation import plot

    title = _title(plan)
    plot.plot_rates(title, runs, folder / "rates.png")
    plot.plot_queues(title, runs, folder / "queues.png")
    if len(service.course) > 1:
        name = f"{title}, {plan.rate:g} requests/s"
        plot.plot_service(name, service, folder / "service.png")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise BadInput(f"--out: {folder} cannot be made: {problem.strerror}") from None


def _title(plan: Plan) -> str:
    engines = "one engine" if plan.replicas == 1 else f"{plan.replicas} engines, {plan.routing}"
    about = f"load {plan.load.name}, {plan.requests:,} requests, {engines}"
    return f"{about} of {plan.machine.name} ({plan.machine.source.partition(':')[0]})"


def _about(plan: Plan) -> dict[str, Any]:
    return {
        "load": plan.load.name,
        "machine": plan.machine.name,
        "times": plan.machine.source,
        "requests": plan.requests,
        "seed": plan.seed,
        "replicas": plan.replicas,
        "routing": plan.routing,
        "max_num_seqs": plan.max_num_seqs,
        "max_prefill_tokens": plan.prefill_tokens,
        "kv_cache_gib": plan.cache_gib or plan.machine.cache_bytes / 2**30,
        "overhead_s": plan.overhead_s,
    }


if __name__ == "__main__":
    sys.exit(main())
