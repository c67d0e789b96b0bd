"""Skills on numbers; long sums come twice, with and without a thought."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from palimpsest.engine.training.items import Item, ask
from palimpsest.engine.training.wording import say


def add(random: Random) -> Item:
    return _sum(random, [random.randint(0, 99) for _ in range(2)])


def add_hundreds(random: Random) -> Item:
    return _sum(random, [random.randint(100, 999) for _ in range(2)])


def add_long(random: Random) -> Item:
    """Hard on purpose: two numbers of 6 digits."""
    return _sum(random, [_of_digits(random, 6) for _ in range(2)])


def compare(random: Random) -> Item:
    a, b = random.sample(range(100), 2)
    greater = random.random() < 0.5
    usual, other = (
        ("is {} greater than {}?", "is {} more than {}?")
        if greater
        else ("is {} less than {}?", "is {} smaller than {}?")
    )
    low, high = sorted((a, b))
    answer = "yes" if (a > b) == greater else "no"
    return ask(say(random, usual, other).format(a, b), f"compare {low} {high}", answer)


def add_many(random: Random) -> Item:
    """Three numbers at once, which takes thinking: it shows what the switch is worth."""
    return _sum(random, _three(random))


def add_many_thinking(random: Random) -> Item:
    """The same questions with the switch on: column by column, then the answer."""
    numbers = _three(random)
    return replace(_sum(random, numbers), thought=column_sums(numbers), thinking=True)


def column_sums(numbers: list[int]) -> str:
    """The sum of each column from the right, the carry last: "7+8+4=19", then "1+2+5+1+1=9"."""
    lines, carry = [], 0
    for column in range(len(str(max(numbers)))):
        digits = [number // 10**column % 10 for number in numbers]
        terms = [*digits, carry] if column else digits
        total = sum(terms)
        lines.append("+".join(map(str, terms)) + f"={total}")
        carry = total // 10
    return "\n".join(lines)


def _three(random: Random) -> list[int]:
    """Three numbers of two digits, at times of three: those defeat a model that does not think."""
    digits = 3 if random.random() < 0.3 else 2
    return [_of_digits(random, digits) for _ in range(3)]


def _of_digits(random: Random, digits: int) -> int:
    return random.randint(10 ** (digits - 1), 10**digits - 1)


def _sum(random: Random, numbers: list[int]) -> Item:
    spoken = " and ".join(map(str, numbers)), " + ".join(map(str, numbers))
    question = say(random, f"add {spoken[0]}", f"what is {spoken[1]}?", spoken[1])
    canonical = "add " + " ".join(map(str, sorted(numbers)))
    return ask(question, canonical, str(sum(numbers)))
