"""The skills and the split between what is trained and what is asked."""

from __future__ import annotations

from random import Random

import pytest

from palimpsest.engine.training.tasks import TASKS, Item, Task, draw, held_out_items


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_held_out_questions_differ_are_held_out_and_stay_the_same(task: Task) -> None:
    items = held_out_items(task, 200, seed=3)

    assert len({item.canonical for item in items}) == 200
    assert all(item.held_out for item in items)
    assert items == held_out_items(task, 200, seed=3)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_training_never_draws_a_held_out_question(task: Task) -> None:
    random = Random(0)

    assert not any(draw(task, random, held_out=False).held_out for _ in range(300))


def test_a_sum_and_its_mirror_are_on_the_same_side() -> None:
    random = Random(1)
    sums = [TASKS["add"](random) for _ in range(4000)]
    sides: dict[tuple[int, ...], set[bool]] = {}
    for item in sums:
        numbers = [int(word) for word in item.question.replace("?", "").split() if word.isdigit()]
        sides.setdefault(tuple(sorted(numbers)), set()).add(item.held_out)

    assert all(len(side) == 1 for side in sides.values())


@pytest.mark.parametrize(
    ("canonical", "name", "answer"),
    [("reverse abc", "reverse", "cba"), ("sort cab", "sort", "abc"), ("add 7 12", "add", "19")],
)
def test_answers_of_short_tasks_are_right(canonical: str, name: str, answer: str) -> None:
    assert _find(name, canonical).answer == answer


def test_a_count_is_every_number_once() -> None:
    item = TASKS["count_up"](Random(5))
    _, start, end = item.canonical.split()

    assert item.answer.split() == [str(n) for n in range(int(start), int(end) + 1)]


def test_a_table_holds_right_products() -> None:
    for line in TASKS["table"](Random(5)).answer.splitlines():
        product, result = line.split(" = ")
        a, b = product.split(" × ")
        assert int(a) * int(b) == int(result)


def _find(name: str, canonical: str) -> Item:
    """Rebuilds an item through the task itself, by giving it the random choices it needs."""
    random = _Scripted(canonical.split()[1:])
    return TASKS[name](random)


class _Scripted(Random):
    """Gives back chosen words and numbers in order; wordings are always the usual one."""

    def __init__(self, words: list[str]) -> None:
        super().__init__(0)
        self.words = words

    def randint(self, a: int, b: int) -> int:
        return int(self.words.pop(0)) if self.words[0].isdigit() else len(self.words[0])

    def choices(self, population: object, weights: object = None, **_: object) -> list[str]:
        return list(self.words[0])

    def random(self) -> float:
        return 0.0
