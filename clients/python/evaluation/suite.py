"""Which questions a run asks: the bundled ones, files of one's own, or a public suite on disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from palimpsest.evaluation import public
from palimpsest.evaluation.items import Item, item_of
from palimpsest.evaluation.lines import BadInput, read

BUNDLED = "bundled"
BUNDLED_FOLDER = Path(__file__).parent / "suites" / "bundled"
"""One file a skill: questions that the bundled model was not trained on."""


def load(
    suites: Sequence[str], *, skills: Sequence[str] | None = None, items: int | None = None
) -> list[Item]:
    """The questions of `suites`, skill by skill in the order they are found.

    A suite is "bundled", the path of a file or of a folder of .jsonl files, or NAME=PATH with a
    name of `public.SUITES`. Only `skills` are kept if given, and the first `items` of each.
    Raises BadInput.
    """
    by_skill: dict[str, dict[str, Item]] = {}
    for suite in suites:
        for item in _suite(suite):
            same = by_skill.setdefault(item.skill, {})
            if item.id in same:
                raise BadInput(
                    f"{suite}: id: {item.id} of skill {item.skill} is given to two items "
                    "(items without an id that are alike have the same)"
                )
            same[item.id] = item
    for skill in skills or ():
        if skill not in by_skill:
            raise BadInput(f"--skills: {skill!r} is none of {', '.join(by_skill)}")
    kept = skills or by_skill
    return [item for skill in by_skill if skill in kept for item in _first(by_skill[skill], items)]


def _suite(suite: str) -> list[Item]:
    name, equals, path = suite.partition("=")
    if suite == BUNDLED:
        return _own(BUNDLED_FOLDER)
    if equals and name in public.SUITES:
        return public.load(name, Path(path))
    if not Path(suite).exists():
        raise BadInput(
            f"--suite: {suite!r} is neither {BUNDLED!r} nor a file or folder; "
            f"public suites are given as {', '.join(f'{name}=FILE' for name in public.SUITES)}"
        )
    return _own(Path(suite))


def _own(path: Path) -> list[Item]:
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if not files:
        raise BadInput(f"{path}: holds no .jsonl files")
    return [item_of(line) for file in files for line in read(file)]


def _first(items: dict[str, Item], count: int | None) -> Iterable[Item]:
    return list(items.values())[:count]
