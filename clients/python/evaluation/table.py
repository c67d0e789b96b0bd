"""A run for people: tables for the terminal and the same in Markdown. Knows no files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from palimpsest.evaluation import examples
from palimpsest.evaluation.comparison import Comparison, SkillComparison
from palimpsest.evaluation.figures import Figures
from palimpsest.evaluation.intervals import Estimate
from palimpsest.evaluation.lines import shown
from palimpsest.evaluation.records import Json, Run

FIGURE_COLUMNS = (
    "skill",
    "right",
    "accuracy",
    "95 %",
    "steps per canvas",
    "tokens per forward",
    "tok/s: output / effective",
    "of one request",
)
COMPARISON_COLUMNS = (
    "skill",
    "base",
    "this run",
    "recovery",
    "points",
    "95 %",
    "compared",
    "steps per canvas",
)
SPEED_NOTE = (
    "output: tokens of the answers; effective: tokens of their canvases; per second of the run. "
    "of one request: the server's own figures, median, its queue included"
)
BASE_NOTE = (
    "recovery: accuracy in percent of the base's; points: what it differs by, with 95 % interval; "
    "mean: of accuracies, every skill weighs the same. "
    "pairs: items that both runs have; else two samples of a skill"
)
HISTOGRAM_ROWS = 16
HISTOGRAM_CELLS = 40
TERMINAL_EXAMPLES = 1
"""Wrong answers shown of each skill on a terminal; the Markdown shows all that were kept."""
NOTHING = "-"


def terminal(run: Run) -> RenderableType:
    """The whole report for a terminal."""
    parts: list[RenderableType] = [
        _table(_figure_columns(run), _figure_rows(run), title=_title(run.about)),
        Text(SPEED_NOTE, style="dim"),
        Text("\n" + _histogram_title(run)),
        Text("\n".join(histogram(run.overall.steps_histogram))),
    ]
    if run.comparison is not None and run.base is not None:
        title = f"beside {_title(run.base.about)}"
        rows = _comparison_rows(run.comparison)
        parts += [Text(), _table(COMPARISON_COLUMNS, rows, title=title)]
        parts += [Text(note, style="dim") for note in _comparison_notes(run)]
    parts += [Text(line) for line in ("", *examples.lines(run, TERMINAL_EXAMPLES))]
    return Group(*parts)


def markdown(run: Run) -> str:
    """The whole report as Markdown."""
    lines = [f"# {_title(run.about)}", "", *_about(run.about), ""]
    lines += [*_markdown(_figure_columns(run), _figure_rows(run)), "", f"{SPEED_NOTE}.", ""]
    lines += [f"{_histogram_title(run)}:", "", "```", *histogram(run.overall.steps_histogram)]
    lines += ["```", ""]
    if run.comparison is not None and run.base is not None:
        lines += [f"## Beside {_title(run.base.about)}", ""]
        lines += [*_markdown(COMPARISON_COLUMNS, _comparison_rows(run.comparison)), ""]
        lines += [f"{note}." for note in _comparison_notes(run)] + [""]
    wrong = examples.lines(run, None)
    if wrong:
        lines += ["## Wrong or failed", "", *(f"- {line}" for line in wrong), ""]
    return "\n".join(lines)


def histogram(counts: Mapping[int, int]) -> list[str]:
    """Bars of canvases by steps, in so few rows that neighbouring steps may share one."""
    if not counts:
        return ["no canvases"]
    first, last = min(counts), max(counts)
    width = math.ceil((last - first + 1) / HISTOGRAM_ROWS)
    rows = []
    for low in range(first, last + 1, width):
        count = sum(counts.get(steps, 0) for steps in range(low, low + width))
        rows.append((str(low) if width == 1 else f"{low}-{low + width - 1}", count))
    most, cells = max(count for _, count in rows), max(len(label) for label, _ in rows)
    return [
        f"{label:>{cells}} {'█' * math.ceil(HISTOGRAM_CELLS * count / most)} {count:,}"
        for label, count in rows
    ]


def percent(share: float | None) -> str:
    """A share as people write it."""
    return NOTHING if share is None else f"{100 * share:.1f} %"


def _title(about: Json) -> str:
    model = about["model"]
    return f"{model['name']}, {model['dtype']} on {model['device']}, {about['date'][:10]}"


def _about(about: Json) -> list[str]:
    settings = about["settings"]
    sampling = ", ".join(f"{name} {value}" for name, value in settings["sampling"].items())
    machine, versions = about["machine"], about["versions"]
    lines = [
        f"- suites: {' '.join(settings['suites'])}; seed {settings['seed']}, "
        f"{settings['concurrency']} requests in flight, thinking {settings['thinking']}",
        f"- sampling: {sampling}",
        f"- server: {about['server']}; {machine['processor']}, {machine['cpus']} CPUs, "
        f"{machine['system']}",
        f"- versions: {', '.join(f'{name} {number}' for name, number in versions.items())}",
        f"- {about['date']}, {about['wall_s']:.0f} s",
    ]
    if about["interrupted"]:
        lines.append("- **interrupted**: not all items were asked")
    return lines


def _figure_columns(run: Run) -> tuple[str, ...]:
    # Room is scarce, and most runs have none.
    return (*FIGURE_COLUMNS, "failed") if run.overall.errors else FIGURE_COLUMNS


def _figure_rows(run: Run) -> list[list[str]]:
    skills, overall = run.skills, run.overall
    rows = [*skills, overall] if len(skills) > 1 else skills
    return [_figure_row(one) + ([str(one.errors)] if overall.errors else []) for one in rows]


def _figure_row(one: Figures) -> list[str]:
    return [
        one.skill,
        f"{one.right:,}/{one.items:,}",
        percent(one.accuracy.value),
        f"{100 * one.accuracy.low:.1f} to {100 * one.accuracy.high:.1f}",
        _number(one.steps_per_canvas),
        _number(one.tokens_per_forward),
        _pair(one.output_tokens_per_second, one.effective_tokens_per_second),
        _pair(one.request_output_tokens_per_second, one.request_effective_tokens_per_second),
    ]


def _comparison_rows(comparison: Comparison) -> list[list[str]]:
    rows = [_comparison_row(skill) for skill in comparison.skills]
    if len(rows) > 1:
        mean = [percent(comparison.recovery), *_points(comparison.difference)]
        rows.append(["mean", "", "", *mean, "", ""])
    return rows


def _comparison_row(one: SkillComparison) -> list[str]:
    steps = (one.base.steps_per_canvas, one.run.steps_per_canvas)
    samples = f"{one.base.items:,} and {one.run.items:,}"
    return [
        one.skill,
        percent(one.base.accuracy.value),
        percent(one.run.accuracy.value),
        percent(one.recovery),
        *_points(one.difference),
        f"{one.run.items:,} pairs" if one.paired else samples,
        " → ".join(_number(count) for count in steps),
    ]


def _comparison_notes(run: Run) -> Iterable[str]:
    assert run.comparison is not None
    assert run.base is not None
    yield BASE_NOTE
    ours, theirs = _settings(run.about), _settings(run.base.about)
    differing = [
        f"{name} {shown(theirs.get(name))} → {shown(value)}"
        for name, value in ours.items()
        if theirs.get(name) != value
    ]
    if differing:
        yield f"settings differ: {', '.join(differing)}"
    if run.comparison.only_in_run:
        yield f"only in this run: {', '.join(run.comparison.only_in_run)}"
    if run.comparison.only_in_base:
        yield f"only in the base: {', '.join(run.comparison.only_in_base)}"


def _settings(about: Json) -> Json:
    """What could have changed the answers, but for the model."""
    settings = about["settings"]
    rest = {name: settings[name] for name in ("seed", "thinking", "max_output_tokens")}
    return settings["sampling"] | rest


def _points(difference: Estimate) -> list[str]:
    low, high = 100 * difference.low, 100 * difference.high
    return [f"{100 * difference.value:+.1f}", f"{low:+.1f} to {high:+.1f}"]


def _histogram_title(run: Run) -> str:
    overall = run.overall
    cap = run.about["settings"]["sampling"].get("max_denoising_steps")
    limit = "" if cap is None else f", at most {cap}"
    mean = _number(overall.steps_per_canvas)
    return f"denoising steps of {overall.canvases:,} canvases{limit}: mean {mean}"


def _pair(output: float | None, effective: float | None) -> str:
    return f"{_number(output)} / {_number(effective)}"


def _number(value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{value:.2f}" if value < 10 else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str) -> Table:
    table = Table(
        box=SIMPLE_HEAD,
        title=title,
        title_justify="left",
        title_style="bold",
        collapse_padding=True,
    )
    for number, column in enumerate(columns):
        # On a narrow terminal other columns give way.
        table.add_column(
            column, justify="right" if number else "left", no_wrap=column in ("skill", "95 %")
        )
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    marks = ["---", *("---:" for _ in columns[1:])]
    return [f"| {' | '.join(cells)} |" for cells in (columns, marks, *rows)]
