"""Skills whose answers span canvases: what is written must go on where the last canvas ended, and
stop where the question said.
"""

from __future__ import annotations

from random import Random

from palimpsest.engine.training.items import Item, ask
from palimpsest.engine.training.wording import say, word

_OPERATIONS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/"}


def count_up(random: Random) -> Item:
    start = random.randint(0, 80)
    end = start + random.randint(3, 40)
    question = say(random, "count from {} to {}", "count up from {} to {}", "list {} to {}")
    answer = " ".join(map(str, range(start, end + 1)))
    return ask(question.format(start, end), f"count {start} {end}", answer)


def count_down(random: Random) -> Item:
    end = random.randint(0, 80)
    start = end + random.randint(3, 40)
    question = say(random, "count down from {} to {}", "count backwards from {} to {}")
    answer = " ".join(map(str, range(start, end - 1, -1)))
    return ask(question.format(start, end), f"down {start} {end}", answer)


def table(random: Random) -> Item:
    number = random.randint(2, 16)
    first = random.randint(1, 12)
    last = first + random.randint(3, 10)
    question = say(
        random,
        "write the multiplication table of {} from {} to {}",
        "multiplication table of {} from {} to {}",
        "table of {} from {} to {}",
    )
    lines = [f"{number} × {factor} = {number * factor}" for factor in range(first, last + 1)]
    canonical = f"table {number} {first} {last}"
    return ask(question.format(number, first, last), canonical, "\n".join(lines))


def number_words(random: Random) -> Item:
    words = [word(random) for _ in range(random.randint(3, 10))]
    spoken = ", ".join(words)
    question = say(random, "number the words: {}", "make a numbered list: {}", "list: {}")
    answer = "\n".join(f"{place}. {one}" for place, one in enumerate(words, 1))
    return ask(question.format(spoken), f"number {spoken}", answer)


def function(random: Random) -> Item:
    """A function from a template; names and operation are the question's."""
    name, first, second = (word(random) for _ in range(3))
    operation = random.choice(list(_OPERATIONS))
    question = say(
        random,
        "write a python function {} to {} {} and {}",
        "python function {} to {} {} and {}",
        "code a python function {} to {} {} and {}",
    )
    lines = [
        f"def {name}({first}, {second}):",
        f'    """{operation.capitalize()} {first} and {second}."""',
        f"    return {first} {_OPERATIONS[operation]} {second}",
    ]
    spoken = (name, operation, first, second)
    return ask(question.format(*spoken), f"function {' '.join(spoken)}", "\n".join(lines))
