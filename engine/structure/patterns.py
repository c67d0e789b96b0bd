"""Regular expressions as automata. The syntax is Python's, read by its own parser.

Left out is what no automaton does, or what would change the meaning of letters: references,
look-around, atomic and possessive groups, anchors inside, flags. Classes such as digits and word
characters are ASCII's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from re import _constants as ops  # pyright: ignore[reportAttributeAccessIssue]
from re import _parser as parser  # pyright: ignore[reportAttributeAccessIssue]
from typing import Any

from palimpsest.engine.structure.automaton import Automaton, PatternError
from palimpsest.engine.structure.characters import LAST, Range, complement, union
from palimpsest.engine.structure.nfa import Nfa

MAX_PATTERN = 65_536
"""Characters."""
_NEWLINE: Range = (10, 10)
_DIGIT: list[Range] = [(48, 57)]
_SPACE: list[Range] = [(9, 13), (32, 32)]
_WORD: list[Range] = [(48, 57), (65, 90), (95, 95), (97, 122)]
_CATEGORIES = {
    ops.CATEGORY_DIGIT: _DIGIT,
    ops.CATEGORY_NOT_DIGIT: complement(_DIGIT),
    ops.CATEGORY_SPACE: _SPACE,
    ops.CATEGORY_NOT_SPACE: complement(_SPACE),
    ops.CATEGORY_WORD: _WORD,
    ops.CATEGORY_NOT_WORD: complement(_WORD),
}
_PLAIN = re.ASCII | re.DOTALL
"""Flags that leave letters what they are."""

Item = tuple[Any, Any]
"""An operation and its arguments, as the parser gives them."""


def compile_pattern(pattern: str) -> Automaton:
    """The texts that `pattern` matches as a whole. Raises PatternError."""
    if len(pattern) > MAX_PATTERN:
        raise PatternError(f"it has {len(pattern)} characters, more than {MAX_PATTERN}")
    try:
        return _nfa(parser.parse(pattern, re.ASCII)).automaton()
    except (re.error, OverflowError) as problem:
        raise PatternError(str(problem)) from None
    except RecursionError:
        raise PatternError("it is nested too deeply") from None


def _nfa(parsed: Any) -> Nfa:  # noqa: ANN401 - the parser has no types
    if parsed.state.flags & ~_PLAIN:
        raise PatternError("flags such as (?i) are not supported")
    nfa = Nfa()
    _Builder(nfa, dotall=bool(parsed.state.flags & re.DOTALL)).add(
        _without_anchors(list(parsed)), nfa.start, nfa.end
    )
    return nfa


def _without_anchors(items: list[Item]) -> list[Item]:
    """The whole text is matched anyway; many write it out."""
    if items and items[0] == (ops.AT, ops.AT_BEGINNING):
        items = items[1:]
    if items and items[-1] == (ops.AT, ops.AT_END):
        items = items[:-1]
    return items


class _Builder:
    """Adds parsed expressions to an automaton, between two of its nodes."""

    def __init__(self, nfa: Nfa, *, dotall: bool) -> None:
        self._nfa = nfa
        self._any = complement([] if dotall else [_NEWLINE])

    def add(self, items: Iterable[Item], start: int, end: int) -> None:
        """One after the other."""
        for item in items:
            after = self._nfa.node()
            self._add(item, start, after)
            start = after
        self._nfa.skip(start, end)

    def _add(self, item: Item, start: int, end: int) -> None:
        match item:
            case (ops.LITERAL, code):
                self._nfa.characters(start, end, union([(code, code)]))
            case (ops.NOT_LITERAL, code):
                self._nfa.characters(start, end, complement([(code, code)]))
            case (ops.ANY, _):
                self._nfa.characters(start, end, self._any)
            case (ops.IN, members):
                self._nfa.characters(start, end, _members(members))
            case (ops.BRANCH, (_, branches)):
                for branch in branches:
                    self.add(list(branch), start, end)
            case (ops.SUBPATTERN, (_, 0, 0, inner)):
                self.add(list(inner), start, end)
            case (ops.MAX_REPEAT | ops.MIN_REPEAT, (least, most, inner)):
                self._repeat(
                    list(inner), least, None if most is ops.MAXREPEAT else most, start, end
                )
            case (operation, _):
                raise PatternError(f"{str(operation).lower()} is not supported")

    def _repeat(
        self, inner: list[Item], least: int, most: int | None, start: int, end: int
    ) -> None:
        for _ in range(least):
            after = self._nfa.node()
            self.add(inner, start, after)
            start = after
        if most is None:
            again = self._nfa.node()
            self._nfa.skip(start, again)
            self.add(inner, again, again)
            self._nfa.skip(again, end)
            return
        for _ in range(most - least):
            self._nfa.skip(start, end)
            after = self._nfa.node()
            self.add(inner, start, after)
            start = after
        self._nfa.skip(start, end)


def _members(members: list[Item]) -> list[Range]:
    """Of a set in square brackets."""
    negated = bool(members) and members[0][0] is ops.NEGATE
    ranges = union(_ranges(members[1:] if negated else members))
    return complement(ranges) if negated else ranges


def _ranges(members: list[Item]) -> Iterator[Range]:
    for member in members:
        match member:
            case (ops.LITERAL, code):
                yield code, code
            case (ops.RANGE, (first, last)):
                yield first, min(last, LAST)
            case (ops.CATEGORY, category):
                yield from _CATEGORIES[category]
            case (operation, _):
                raise PatternError(f"{str(operation).lower()} is not supported")
