"""What a level of load came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from palimpsest.load.runner import Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiles:
    """Milliseconds; None of nothing."""

    p50: float | None
    p99: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """Figures of one number of streams at once. Speeds are over all streams."""

    concurrency: int
    requests: int
    failed: int
    wall_s: float
    output_tokens_per_second: float
    effective_tokens_per_second: float
    requests_per_second: float
    steps_per_canvas: float
    drafts_per_second: float
    time_to_first_draft_ms: Quantiles
    time_to_first_draft_ms_long: Quantiles
    """Of requests with long prompts; the figure before is of the others."""
    time_to_first_commit_ms: Quantiles
    total_ms: Quantiles


def level(concurrency: int, timings: Sequence[Timing]) -> Level:
    """Figures of the timings of one level; at least one."""
    wall_s = max(t.ended_s for t in timings) - min(t.started_s for t in timings)
    usages = [t.usage for t in timings if t.usage is not None]
    steps, canvases = sum(u.denoising_steps for u in usages), sum(u.canvases for u in usages)
    return Level(
        concurrency=concurrency,
        requests=len(timings),
        failed=len(timings) - len(usages),
        wall_s=wall_s,
        output_tokens_per_second=sum(u.output_tokens for u in usages) / wall_s,
        effective_tokens_per_second=sum(t.effective_tokens for t in timings) / wall_s,
        requests_per_second=len(usages) / wall_s,
        steps_per_canvas=steps / max(canvases, 1),
        drafts_per_second=sum(t.snapshots for t in timings) / wall_s,
        time_to_first_draft_ms=_first_drafts(timings, are_long=False),
        time_to_first_draft_ms_long=_first_drafts(timings, are_long=True),
        time_to_first_commit_ms=_quantiles(
            [t.first_commit_s - t.started_s for t in timings if t.first_commit_s is not None]
        ),
        total_ms=_quantiles([t.ended_s - t.started_s for t in timings if t.usage is not None]),
    )


def _first_drafts(timings: Sequence[Timing], *, are_long: bool) -> Quantiles:
    return _quantiles(
        [
            t.first_draft_s - t.started_s
            for t in timings
            if t.first_draft_s is not None and t.is_long is are_long
        ]
    )


def _quantiles(seconds: Sequence[float]) -> Quantiles:
    return Quantiles(p50=_quantile(seconds, 0.5), p99=_quantile(seconds, 0.99))


def _quantile(seconds: Sequence[float], share: float) -> float | None:
    """Milliseconds, linear between neighbours."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    place = share * (len(ordered) - 1)
    low = int(place)
    pair = ordered[low : low + 2]
    return 1000 * (pair[0] if len(pair) == 1 else fmean(pair, (1 - place + low, place - low)))
