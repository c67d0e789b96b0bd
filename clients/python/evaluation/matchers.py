"""When an answer is right. Pure functions of a finished answer and of what was expected.

Only the text after the thought counts, or the tool calls; a right number in a thought is no answer.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

NUMBER = re.compile(
    r"""(?<![\w.])                     # not inside a word or another number
        [-\N{MINUS SIGN}]?\$?           # a minus of either kind; dollars
        (?:\d{1,3}(?:,\d{3})+(?!\d)    # thousands set off by commas,
           |\d+                        # plain digits,
           |(?=\.\d))                  # or none before the point
        (?:\.\d+)?
        (?:[eE][-+]?\d+)?""",
    re.VERBOSE,
)
NAMED_LETTER = re.compile(r"(?i:answer)(?i:\s+is)?[\s:*(\[]*\b([A-Z])\b")
LONE_LETTER = re.compile(r"\b([A-Z])\b")


class Matcher(enum.StrEnum):
    """How an answer is compared with what was expected."""

    EXACT = "exact"
    """The text, to the last character."""
    STRIP = "strip"
    """The text without white space around it."""
    CONTAINS = "contains"
    """The expected text stands somewhere in the text."""
    REGEX = "regex"
    """The expected regular expression is found somewhere in the text."""
    NUMBER = "number"
    """The last number in the text has the expected value; 1,234.0 and 1234 are one."""
    LETTER = "letter"
    """The capital letter last named as the answer, or else the last that stands alone."""
    JSON = "json"
    """The text is JSON of the expected value; order of members and white space do not count."""
    TOOL_CALLS = "tool_calls"
    """Names and arguments of the tool calls, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A tool call."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back for one item, and what it took."""

    text: str
    """Without thought and tool calls."""
    thought: str = ""
    tool_calls: tuple[Call, ...] = ()
    finish_reason: str = "stop"
    canvas_steps: tuple[int, ...] = ()
    """Denoising steps of each canvas, in order."""
    canvas_length: int = 0
    """Tokens per canvas."""
    prompt_tokens: int = 0
    output_tokens: int = 0
    """Thought and tool calls included."""
    thinking_tokens: int = 0
    output_tokens_per_second: float = 0.0
    """As the server measured it for this request alone, time in its queue included."""
    effective_tokens_per_second: float = 0.0
    """The same of canvas tokens, padding included."""


def matches(answer: Answer, matcher: Matcher, expected: object) -> bool:
    """Whether the answer is right. `expected` is one that `objection` has nothing against."""
    match matcher:
        case Matcher.EXACT:
            return answer.text == expected
        case Matcher.STRIP:
            return answer.text.strip() == str(expected).strip()
        case Matcher.CONTAINS:
            return str(expected) in answer.text
        case Matcher.REGEX:
            return re.search(str(expected), answer.text) is not None
        case Matcher.NUMBER:
            return last_number(answer.text) == _decimal(str(expected))
        case Matcher.LETTER:
            return _last_letter(answer.text) == expected
        case Matcher.JSON:
            return _is_json_of(answer.text, expected)
        case Matcher.TOOL_CALLS:
            return _same([_plain(call) for call in answer.tool_calls], expected)


def objection(matcher: Matcher, expected: object) -> str | None:
    """Why nothing can be compared with `expected`; None if something can."""
    match matcher:
        case Matcher.EXACT | Matcher.STRIP | Matcher.CONTAINS:
            return None if isinstance(expected, str) else "is not text"
        case Matcher.REGEX:
            return _objection_to_pattern(expected)
        case Matcher.NUMBER:
            is_number = isinstance(expected, str | int | float) and not isinstance(expected, bool)
            known = is_number and _decimal(str(expected)) is not None
            return None if known else "is not a number"
        case Matcher.LETTER:
            one = isinstance(expected, str) and re.fullmatch("[A-Z]", expected)
            return None if one else "is not one of the letters A to Z"
        case Matcher.JSON:
            return None
        case Matcher.TOOL_CALLS:
            return _objection_to_calls(expected)


def last_number(text: str) -> Decimal | None:
    """The last number in a text; None if there is none."""
    found = NUMBER.findall(text)
    return _decimal(found[-1]) if found else None


def _decimal(text: str) -> Decimal | None:
    plain = text.strip().replace(",", "").replace("$", "").replace("\N{MINUS SIGN}", "-")
    try:
        number = Decimal(plain)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _last_letter(text: str) -> str | None:
    found = NAMED_LETTER.findall(text) or LONE_LETTER.findall(text)
    return found[-1] if found else None


def _is_json_of(text: str, expected: object) -> bool:
    try:
        return _same(json.loads(text), expected)
    except ValueError:
        return False


def _plain(call: Call) -> dict[str, object]:
    return {"name": call.name, "arguments": call.arguments}


def _same(one: object, other: object) -> bool:
    """Equality of JSON values: 1 and 1.0 are one number, 1 and true are not one value."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return one == other


def _objection_to_pattern(expected: object) -> str | None:
    if not isinstance(expected, str):
        return "is not text"
    try:
        re.compile(expected)
    except re.error as error:
        return f"is not a regular expression: {error}"
    return None


def _objection_to_calls(expected: object) -> str | None:
    if not isinstance(expected, list):
        return "is not a list of calls"
    for call in expected:
        if not (
            isinstance(call, dict)
            and call.keys() == {"name", "arguments"}
            and isinstance(call["name"], str)
            and isinstance(call["arguments"], dict)
        ):
            return 'holds a call that is not {"name": "…", "arguments": {…}}'
    return None
