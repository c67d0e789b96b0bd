"""The skills: right answers, and a split that nothing leaks through."""

from __future__ import annotations

import json
from hashlib import sha256
from random import Random

import pytest

from palimpsest.engine.training.drawing import Shape, ground, seen
from palimpsest.engine.training.items import Item, Still, Task, draw, held_out_items
from palimpsest.engine.training.skills import HARD, SKILLS
from palimpsest.engine.training.skills.arithmetic import column_sums
from palimpsest.engine.training.skills.seeing import signs
from palimpsest.engine.training.skills.tools import NO_TOOL, TOOLS

ALL = pytest.mark.parametrize("task", SKILLS.values(), ids=SKILLS)


@ALL
def test_held_out_questions_differ_are_held_out_and_stay_the_same(task: Task) -> None:
    items = held_out_items(task, 200, seed=3)

    assert len({item.canonical for item in items}) == 200
    assert all(item.held_out for item in items)
    assert items == held_out_items(task, 200, seed=3)


@ALL
def test_training_never_draws_a_held_out_question(task: Task) -> None:
    random = Random(0)

    assert not any(draw(task, random, held_out=False).held_out for _ in range(300))


@ALL
def test_a_question_has_one_answer(task: Task) -> None:
    random, known = Random(2), dict[str, object]()
    for _ in range(2000):
        item = task(random)
        outcome = (item.thought, item.answer, item.call)
        asked = json.dumps([item.messages, item.tools, item.thinking, _shown(item)])
        assert known.setdefault(asked, outcome) == outcome


def _shown(item: Item) -> list[str]:
    """What its pictures look like."""
    media = [(one,) if isinstance(one, Still) else one for one in item.media]
    return [sha256(still.picture.tobytes()).hexdigest() for stills in media for still in stills]


def test_what_is_in_the_middle_of_each_part_of_a_picture_is_known() -> None:
    below = Shape(kind="square", colour="blue", centre=(0.5, 0.5), radius=0.5)
    above = Shape(kind="circle", colour="black", centre=(0.75, 0.25), radius=0.1)
    picture = ground(Random(0), (90, 90))

    assert seen(picture, [below, above], rows=2, columns=2) == [below, above, below, below]
    assert seen(picture, [above], rows=5, columns=5) == [
        above if part == 8 else None for part in range(25)
    ]
    assert (signs(above), signs(None)) == (("k", "c"), (".", "."))


def test_a_sum_is_on_one_side_in_any_order_and_with_thinking_too() -> None:
    sides: dict[tuple[int, ...], set[bool]] = {}
    for skill in ("add", "add_hundreds", "add_long", "add_many", "think"):
        for item in _many(skill, 1500):
            numbers = tuple(sorted(_numbers(item)))
            sides.setdefault(numbers, set()).add(item.held_out)

    assert all(len(side) == 1 for side in sides.values())


@pytest.mark.parametrize("skill", ["add", "add_hundreds", "add_long", "add_many", "think"])
def test_sums_are_right(skill: str) -> None:
    assert all(int(item.answer) == sum(_numbers(item)) for item in _many(skill))


def test_a_thought_adds_column_by_column_and_carries() -> None:
    assert column_sums([957, 68]) == "7+8=15\n5+6+1=12\n9+0+1=10"


@pytest.mark.parametrize("skill", ["reverse", "reverse_long"])
def test_a_reversed_word_is_the_word_from_its_end(skill: str) -> None:
    assert all(item.answer == item.canonical.split()[1][::-1] for item in _many(skill))


@pytest.mark.parametrize("skill", ["sort", "sort_long"])
def test_a_sorted_word_has_its_letters_in_order(skill: str) -> None:
    for item in _many(skill):
        assert list(item.answer) == sorted(item.canonical.split()[1])


def test_counted_and_marked_letters_are_those_of_the_word() -> None:
    for counted in _many("count"):
        _, letter, word = counted.canonical.split()
        assert int(counted.answer) == word.count(letter)
    for marked in _many("mark"):
        _, letter, word = marked.canonical.split()
        assert marked.answer.lower() == word
        assert marked.answer.count(letter.upper()) == word.count(letter)


def test_counting_names_every_number_once() -> None:
    for item in _many("count_up"):
        _, start, end = item.canonical.split()
        assert item.answer.split() == [str(n) for n in range(int(start), int(end) + 1)]
    for item in _many("count_down"):
        _, start, end = item.canonical.split()
        assert item.answer.split() == [str(n) for n in range(int(start), int(end) - 1, -1)]


def test_a_colour_is_that_of_the_thing_asked_for() -> None:
    for item in _many("colour"):
        _, *pairs, thing = item.canonical.split()
        colours = dict(pair.split("=") for pair in pairs)
        assert item.answer == colours[thing]
        assert f"the {thing} is {item.answer}" in item.messages[-1]["content"]
        assert len(set(colours.values())) == len(colours)


def test_a_table_holds_right_products() -> None:
    for item in _many("table"):
        for line in item.answer.splitlines():
            product, result = line.split(" = ")
            a, b = product.split(" × ")
            assert int(a) * int(b) == int(result)


def test_a_function_is_python_that_does_what_was_asked() -> None:
    for item in _many("function"):
        _, name, operation, *_ = item.canonical.split()
        if name in ("def", "if", "in", "is", "or", "as", "for", "and", "not", "del", "try"):
            continue
        names: dict[str, object] = {}
        first, second = item.canonical.split()[-2:]
        if first == second:
            continue  # python refuses one name for both
        exec(item.answer, names)
        results = {"add": 9, "subtract": 3, "multiply": 18, "divide": 2}
        assert names[name](6, 3) == results[operation]  # type: ignore[operator]


def test_an_object_is_json_with_the_values_of_the_sentence() -> None:
    for item in _many("json"):
        values = json.loads(item.answer)
        question = item.messages[-1]["content"]
        assert all(str(v) in question for v in values.values() if not isinstance(v, bool))


def test_a_follow_up_needs_the_first_turn() -> None:
    for item in _many("follow_up"):
        first, _, second = (message["content"] for message in item.messages)
        subject = first.split()[-1]
        assert subject in first
        assert "my" in second


def test_a_call_is_of_a_declared_function_with_the_arguments_it_requires() -> None:
    refusals = 0
    for item in _many("tool_call", 400):
        declared = [tool["function"]["name"] for tool in item.tools]
        if item.call is None:
            assert item.answer == NO_TOOL
            refusals += 1
            continue
        assert item.call.name in declared
        schema = TOOLS[item.call.name]["function"]["parameters"]
        assert list(item.call.arguments) == schema["required"]
    assert 20 < refusals < 120


def test_the_hard_skills_are_skills() -> None:
    assert set(SKILLS) > HARD


def _many(skill: str, count: int = 200) -> list[Item]:
    random = Random(1)
    return [SKILLS[skill](random) for _ in range(count)]


def _numbers(item: Item) -> list[int]:
    question = item.messages[-1]["content"].replace("?", "")
    return [int(word) for word in question.split() if word.isdigit()]
