"""When an answer counts as right, and what cannot be expected of one."""

from __future__ import annotations

import pytest

from palimpsest.evaluation.matchers import Answer, Call, Matcher, matches, objection


def right(matcher: Matcher, text: str, expected: object) -> bool:
    assert objection(matcher, expected) is None
    return matches(Answer(text=text), matcher, expected)


@pytest.mark.parametrize(
    ("matcher", "text", "expected"),
    [
        (Matcher.EXACT, "75", "75"),
        (Matcher.EXACT, "", ""),
        (Matcher.STRIP, "\n 75 \n", "75"),
        (Matcher.CONTAINS, "it is 75, I think", "75"),
        (Matcher.REGEX, "it is 75.", r"\b75\b"),
        (Matcher.JSON, ' {"b": [1, 2.0], "a": null}\n', {"a": None, "b": [1.0, 2]}),
        (Matcher.JSON, "null", None),
    ],
)
def test_an_answer_is_right(matcher: Matcher, text: str, expected: object) -> None:
    assert right(matcher, text, expected)


@pytest.mark.parametrize(
    ("matcher", "text", "expected"),
    [
        (Matcher.EXACT, "75 ", "75"),
        (Matcher.STRIP, "7 5", "75"),
        (Matcher.CONTAINS, "seventy-five", "75"),
        (Matcher.REGEX, "175", r"\b75\b"),
        (Matcher.JSON, "75 apples", 75),
        (Matcher.JSON, "1", True),
        (Matcher.JSON, '{"a": 1, "b": 2}', {"a": 1}),
        (Matcher.JSON, "[1, 2]", [2, 1]),
        (Matcher.JSON, '"75"', 75),
        (Matcher.NUMBER, "none at all", 0),
        (Matcher.LETTER, "none at all", "A"),
    ],
)
def test_an_answer_is_wrong(matcher: Matcher, text: str, expected: object) -> None:
    assert not right(matcher, text, expected)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Janet sells 9 eggs at $2, which makes $18.", 18),
        ("#### 1,234,567", "1234567"),
        ("1234.50", 1234.5),
        ("it falls to -5", -5),
        ("it falls to \N{MINUS SIGN}5", -5),
        ("10-4=6", 6),
        ("10-4", 4),
        ("a debt of -$20.00", -20),
        (".5", 0.5),
        ("**42**", 42),
        (r"\boxed{073}", "73"),
        ("1,2,3", 3),
        ("6.02e23", 6.02e23),
        ("42% of 7 in v2.1", 7),
    ],
)
def test_the_last_number_of_a_text_is_compared_by_value(text: str, number: object) -> None:
    assert right(Matcher.NUMBER, text, number)
    assert not right(Matcher.NUMBER, text, 999)


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("Answer: C", "C"),
        ("**Answer:** (C)", "C"),
        ("The answer is C. A is wrong.", "C"),
        ("First I took it for answer A. Answer: C", "C"),
        ("C", "C"),
        ("Not B), but C)", "C"),
    ],
)
def test_the_letter_named_as_the_answer_counts(text: str, letter: str) -> None:
    assert right(Matcher.LETTER, text, letter)


CALLS = (
    Call(name="set_timer", arguments={"minutes": 5.0}),
    Call(name="get_time", arguments={"city": "Oslo"}),
)
EXPECTED_CALLS = [
    {"name": "set_timer", "arguments": {"minutes": 5}},
    {"name": "get_time", "arguments": {"city": "Oslo"}},
]


@pytest.mark.parametrize(
    ("expected", "is_right"),
    [
        (EXPECTED_CALLS, True),
        (EXPECTED_CALLS[:1], False),
        (EXPECTED_CALLS[::-1], False),
        ([{"name": "set_timer", "arguments": {"minutes": True}}, EXPECTED_CALLS[1]], False),
        ([{"name": "set_timer", "arguments": {}}, EXPECTED_CALLS[1]], False),
        ([], False),
    ],
)
def test_tool_calls_are_compared_by_name_and_arguments_in_order(
    expected: object, is_right: bool
) -> None:
    assert objection(Matcher.TOOL_CALLS, expected) is None
    answer = Answer(text="", tool_calls=CALLS)
    assert matches(answer, Matcher.TOOL_CALLS, expected) is is_right


def test_a_right_thought_is_no_right_answer() -> None:
    answer = Answer(text="I do not know", thought="27 + 48 = 75")
    assert not matches(answer, Matcher.CONTAINS, "75")
    assert not matches(answer, Matcher.NUMBER, 75)


@pytest.mark.parametrize(
    ("matcher", "expected"),
    [
        (Matcher.EXACT, 75),
        (Matcher.REGEX, "("),
        (Matcher.REGEX, None),
        (Matcher.NUMBER, "many"),
        (Matcher.NUMBER, "nan"),
        (Matcher.NUMBER, True),
        (Matcher.LETTER, "c"),
        (Matcher.LETTER, "CD"),
        (Matcher.TOOL_CALLS, {"name": "get_time", "arguments": {}}),
        (Matcher.TOOL_CALLS, [{"name": "get_time"}]),
        (Matcher.TOOL_CALLS, [{"name": "get_time", "arguments": "{}"}]),
    ],
)
def test_what_no_answer_could_match_is_objected_to(matcher: Matcher, expected: object) -> None:
    assert objection(matcher, expected)
