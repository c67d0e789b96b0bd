"""`palimpsest eval`: reads what is to be asked, asks it, and shows and writes what came of it."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from palimpsest import arguments
from palimpsest.aio import AsyncClient
from palimpsest.client import Client
from palimpsest.evaluation import figures, records, report, runner, suite
from palimpsest.evaluation.comparison import compare
from palimpsest.evaluation.items import Item
from palimpsest.evaluation.lines import BadInput
from palimpsest.evaluation.progress import Progress
from palimpsest.evaluation.records import Base, Json, Run
from palimpsest.evaluation.runner import Outcome
from palimpsest.evaluation.transport import GrpcTransport
from palimpsest.events import Model
from palimpsest.requests import Sampling

EXIT_DONE = 0
EXIT_MISSED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be done, complete before a server is started for it."""

    args: argparse.Namespace
    items: tuple[Item, ...]
    base: Base | None
    """The run to compare with."""
    sampling: Sampling
    """What holds for all items; unset is the model's own."""


def plan(args: argparse.Namespace) -> Plan:
    """What the flags ask for. Raises BadInput, so that what is wrong is said at once."""
    items = suite.load(args.suites, skills=args.skills, items=args.items)
    base = None if args.compare is None else records.read(args.compare)
    if base is not None and not {s.skill for s in base.scores} & {item.skill for item in items}:
        raise BadInput(f"--compare: {args.compare} has none of the skills of this run")
    if args.out is not None:
        report.make_folder(args.out)
    steps, temperature = args.max_denoising_steps, args.temperature
    return Plan(
        args=args,
        items=tuple(_overridden(item, args) for item in items),
        base=base,
        sampling=Sampling(max_denoising_steps=steps, temperature=temperature),
    )


def run(plan: Plan, address: str) -> int:
    """Asks the server at `address`, reports, and returns the exit code.

    Raises the error of the first item if none at all was answered, and KeyboardInterrupt, after the
    report of what is there, if the run was interrupted.
    """
    with Client(
        address, model=arguments.model_name(plan.args), api_key=plan.args.api_key
    ) as client:
        model = client.model()
    about, started_s = _about(plan, model), time.perf_counter()
    outcomes, interrupted = _outcomes(plan, address)
    _raise_if_none_answered(outcomes)
    if outcomes:
        about |= {"wall_s": time.perf_counter() - started_s, "interrupted": interrupted}
        _report(plan, outcomes, about)
    if interrupted:
        raise KeyboardInterrupt
    return _verdict(outcomes, plan.args.require)


def _outcomes(plan: Plan, address: str) -> tuple[list[Outcome], bool]:
    """What there is to report, in the suite's order, and whether the run was cut short."""
    outcomes: list[Outcome] = []
    interrupted = False
    with Progress(plan.items) as progress:

        def count(outcome: Outcome) -> None:
            outcomes.append(outcome)
            progress.count(outcome)

        try:
            asyncio.run(_ask_all(plan, address, count))
        except KeyboardInterrupt:
            interrupted = True
    places = {(item.skill, item.id): place for place, item in enumerate(plan.items)}
    return sorted(outcomes, key=lambda one: places[one.item.skill, one.item.id]), interrupted


async def _ask_all(plan: Plan, address: str, count: Callable[[Outcome], None]) -> None:
    async with AsyncClient(
        address, model=arguments.model_name(plan.args), api_key=plan.args.api_key
    ) as client:
        await runner.ask_all(
            plan.items,
            GrpcTransport(client, plan.sampling),
            concurrency=plan.args.concurrency,
            seed=plan.args.seed,
            report=count,
        )


def _raise_if_none_answered(outcomes: Sequence[Outcome]) -> None:
    errors = [outcome.error for outcome in outcomes]
    for error in errors[:1]:
        if error is not None and None not in errors:
            raise error


def _report(plan: Plan, outcomes: Sequence[Outcome], about: Json) -> None:
    scores = [records.score_of(outcome) for outcome in outcomes]
    result = Run(
        about=about,
        outcomes=tuple(outcomes),
        base=plan.base,
        comparison=None if plan.base is None else compare(scores, plan.base.scores),
    )
    try:
        if plan.args.json:
            report.show_json(result)
        else:
            report.show(result)
    finally:
        # also where whoever reads it has left
        if plan.args.out is not None:
            report.write(result, plan.args.out)


def _verdict(outcomes: Sequence[Outcome], required: float | None) -> int:
    if required is None:
        return EXIT_DONE
    missed = [
        f"{skill.skill} at {skill.accuracy.value:.1%}"
        for skill in figures.by_skill(outcomes)
        if skill.accuracy.value < required
    ]
    if missed:
        print(f"palimpsest: below {required:.1%}: {', '.join(missed)}", file=sys.stderr)
    return EXIT_MISSED if missed else EXIT_DONE


def _overridden(item: Item, args: argparse.Namespace) -> Item:
    """The item as the command line wants it asked."""
    if args.thinking is not None:
        item = replace(item, enable_thinking=args.thinking == "on")
    if args.max_output_tokens is not None:
        item = replace(item, max_output_tokens=args.max_output_tokens)
    return item


def _about(plan: Plan, model: Model) -> Json:
    args = plan.args
    defaults = {
        name: value for name, value in model.defaults.items() if isinstance(value, int | float)
    }
    given = {name: value for name, value in plan.sampling.items() if value is not None}
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": records.served(model),
        "server": args.address or "embedded",
        "checkpoint": None if args.address else args.model or "bundled",
        "machine": records.machine(),
        "versions": records.versions(),
        "settings": {
            "suites": list(args.suites),
            "seed": args.seed,
            "concurrency": args.concurrency,
            "thinking": args.thinking or "as the items say",
            "max_output_tokens": args.max_output_tokens,
            "sampling": defaults | given,
        },
    }
