"""A run as JSON: what is written down, and what of an earlier run is read back to compare with."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from palimpsest.evaluation import figures
from palimpsest.evaluation.comparison import Comparison, Score, Side
from palimpsest.evaluation.figures import Figures
from palimpsest.evaluation.lines import BadInput
from palimpsest.evaluation.runner import Outcome
from palimpsest.events import Model

RUN_FILE = "run.json"
Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """All that is known when a run is over."""

    about: Json
    """What was measured, where, when, and with which settings."""
    outcomes: tuple[Outcome, ...]
    """At least one, in the order of the suite."""
    comparison: Comparison | None = None
    base: Base | None = None
    """The run that it is compared with."""

    @property
    def skills(self) -> list[Figures]:
        """Figures of each skill."""
        return figures.by_skill(self.outcomes)

    @property
    def overall(self) -> Figures:
        """Figures over all skills; every item weighs the same."""
        return figures.figures(figures.ALL, self.outcomes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """An earlier run."""

    about: Json
    scores: tuple[Score, ...]


def read(path: Path) -> Base:
    """The run of a file, or of a folder that `--out` wrote. Raises BadInput."""
    file = path / RUN_FILE if path.is_dir() else path
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        scores = tuple(
            Score(
                skill=item["skill"],
                id=item["id"],
                right=item["right"],
                canvas_steps=tuple(item["steps"]),
            )
            for item in record["items"]
        )
        return Base(about=record["about"], scores=scores)
    except OSError as error:
        raise BadInput(f"--compare: {file} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"--compare: {file} is no run of `palimpsest eval`") from error


def score_of(outcome: Outcome) -> Score:
    """An outcome as far as runs are compared by it."""
    return Score(
        skill=outcome.item.skill,
        id=outcome.item.id,
        right=outcome.right,
        canvas_steps=() if outcome.answer is None else outcome.answer.canvas_steps,
    )


def record_of(run: Run) -> Json:
    """The whole run."""
    return {
        "about": run.about,
        "skills": [_figures(skill) for skill in run.skills],
        "overall": _figures(run.overall),
        "comparison": _comparison(run),
        "items": [item_record(outcome) for outcome in run.outcomes],
    }


def item_record(outcome: Outcome) -> Json:
    """One question, its answer and what it took."""
    item, answer = outcome.item, outcome.answer
    return {
        "skill": item.skill,
        "id": item.id,
        "seed": outcome.seed,
        "messages": list(item.messages),
        "enable_thinking": item.enable_thinking,
        "matcher": item.matcher,
        "expected": item.expected,
        "right": outcome.right,
        "answer": None if answer is None else answer.text,
        "thought": None if answer is None else answer.thought,
        "tool_calls": [] if answer is None else [asdict(call) for call in answer.tool_calls],
        "finish_reason": None if answer is None else answer.finish_reason,
        "steps": [] if answer is None else list(answer.canvas_steps),
        "prompt_tokens": None if answer is None else answer.prompt_tokens,
        "output_tokens": None if answer is None else answer.output_tokens,
        "thinking_tokens": None if answer is None else answer.thinking_tokens,
        "wall_s": outcome.ended_s - outcome.started_s,
        "error": None if outcome.error is None else str(outcome.error),
    }


def served(model: Model) -> Json:
    """A model, as the server describes it."""
    return {
        "name": model.name,
        "device": model.device,
        "dtype": model.dtype,
        "parameter_count": model.parameter_count,
        "canvas_length": model.canvas_length,
        "max_context_tokens": model.max_context_tokens,
    }


def machine() -> Json:
    """Where this process runs; the server's machine too, unless its address is another's."""
    return {"system": platform.platform(), "processor": _processor(), "cpus": os.cpu_count()}


def versions() -> Json:
    """Of what took part on this side."""
    packages = {name: version(name) for name in ("palimpsest", "grpcio")}
    return {"python": platform.python_version(), **packages}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _figures(one: Figures) -> Json:
    return {
        "skill": one.skill,
        "items": one.items,
        "right": one.right,
        "accuracy": asdict(one.accuracy),
        "errors": one.errors,
        "canvases": one.canvases,
        "denoising_steps": one.denoising_steps,
        "steps_per_canvas": one.steps_per_canvas,
        "steps_histogram": dict(one.steps_histogram),
        "output_tokens": one.output_tokens,
        "canvas_tokens": one.canvas_tokens,
        "tokens_per_forward": one.tokens_per_forward,
        "wall_s": one.wall_s,
        "output_tokens_per_second": one.output_tokens_per_second,
        "effective_tokens_per_second": one.effective_tokens_per_second,
        "request_output_tokens_per_second": one.request_output_tokens_per_second,
        "request_effective_tokens_per_second": one.request_effective_tokens_per_second,
        "wrong": [outcome.item.id for outcome in one.wrong],
    }


def _comparison(run: Run) -> Json | None:
    comparison = run.comparison
    if comparison is None or run.base is None:
        return None
    return {
        "base": run.base.about,
        "recovery": comparison.recovery,
        "difference": asdict(comparison.difference),
        "skills": [
            {
                "skill": skill.skill,
                "paired": skill.paired,
                "run": _side(skill.run),
                "base": _side(skill.base),
                "recovery": skill.recovery,
                "difference": asdict(skill.difference),
            }
            for skill in comparison.skills
        ],
        "only_in_run": comparison.only_in_run,
        "only_in_base": comparison.only_in_base,
    }


def _side(side: Side) -> Json:
    return {
        "items": side.items,
        "right": side.right,
        "accuracy": asdict(side.accuracy),
        "steps_per_canvas": side.steps_per_canvas,
    }
