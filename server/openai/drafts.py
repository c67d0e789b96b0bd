"""What OpenAI's API has no place for: drafts of a canvas, steps and speeds. Clients that do not
know it pass over it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from palimpsest.server.exchange import Completed, Snapshot, Started


def draft(snapshot: Snapshot) -> dict[str, Any]:
    """A canvas after a step."""
    step = snapshot.step
    return {
        "kind": "draft",
        "candidate_index": snapshot.candidate_index,
        "canvas_index": step.canvas_index,
        "step": step.step,
        "max_denoising_steps": snapshot.max_denoising_steps,
        "text": snapshot.text,
        "thought": snapshot.thought,
        "mean_entropy": step.mean_entropy,
        "accepted_count": step.accepted_count,
        "changed_count": step.changed_count,
        "step_ms": (step.end_ns - step.start_ns) / 1e6,
    }


def report(started: Started, endings: Iterable[Completed]) -> dict[str, Any]:
    """How all answers of a call came about; the seed is the first one's."""
    ordered = sorted(endings, key=lambda ending: ending.candidate_index)
    return {
        "kind": "report",
        "seed": started.seed,
        "canvas_length": started.canvas_length,
        "answers": [_answer(ending) for ending in ordered],
    }


def _answer(ending: Completed) -> dict[str, Any]:
    speeds = ending.speeds
    return {
        "candidate_index": ending.candidate_index,
        "canvases": ending.usage.canvases,
        "denoising_steps": ending.usage.denoising_steps,
        "steps_per_canvas": speeds.steps_per_canvas,
        "tokens_per_forward": speeds.tokens_per_forward,
        "output_tokens_per_second": speeds.output_tokens_per_second,
        "effective_tokens_per_second": speeds.effective_tokens_per_second,
        "time_to_first_draft_ms": speeds.time_to_first_draft_ns / 1e6,
        "time_to_first_commit_ms": speeds.time_to_first_commit_ns / 1e6,
    }
