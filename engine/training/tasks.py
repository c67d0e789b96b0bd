"""The skills of the bundled model as question and answer pairs, with a split that nothing leaks
through.

Whether a question is held out depends on a stable hash of its canonical form (for a sum: the
unordered pair), never on its wording, so no held-out question was trained on in other words.
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

HELD_OUT_SHARE = 0.15


@dataclass(frozen=True, slots=True)
class Item:
    """One question, what it is about, and its only right answer."""

    question: str
    canonical: str
    answer: str

    @property
    def held_out(self) -> bool:
        """True for the share of questions that training never sees."""
        digest = hashlib.sha256(self.canonical.encode()).digest()
        return int.from_bytes(digest[:4], "big") < HELD_OUT_SHARE * 2**32


def reverse(random: Random) -> Item:
    word = _word(random)
    wording = _say(random, "reverse the word: {}", "reverse {}", "spell {} backwards")
    return Item(wording.format(word), f"reverse {word}", word[::-1])


def sort(random: Random) -> Item:
    word = _word(random)
    wording = _say(random, "sort the letters: {}", "sort {}", "sort the letters of {}")
    return Item(wording.format(word), f"sort {word}", "".join(sorted(word)))


def add(random: Random) -> Item:
    a, b = random.randint(0, 99), random.randint(0, 99)
    wording = _say(random, "add {} and {}", "what is {} + {}?", "{} + {}")
    low, high = sorted((a, b))
    return Item(wording.format(a, b), f"add {low} {high}", str(a + b))


def count_letters(random: Random) -> Item:
    letter = random.choice(string.ascii_lowercase)
    others = string.ascii_lowercase.replace(letter, "")
    letters = [letter] * random.randint(0, 4)
    letters += [random.choice(others) for _ in range(random.randint(2, 6))]
    random.shuffle(letters)
    word = "".join(letters)
    wording = _say(random, "count the letter {} in {}", "how many {} are in {}?", "count {} in {}")
    return Item(wording.format(letter, word), f"letters {letter} {word}", str(word.count(letter)))


def count_up(random: Random) -> Item:
    start = random.randint(0, 80)
    end = start + random.randint(3, 40)
    wording = _say(random, "count from {} to {}", "count up from {} to {}", "list {} to {}")
    answer = " ".join(str(number) for number in range(start, end + 1))
    return Item(wording.format(start, end), f"count {start} {end}", answer)


def table(random: Random) -> Item:
    number = random.randint(2, 16)
    first = random.randint(1, 12)
    last = first + random.randint(3, 10)
    wording = _say(
        random,
        "write the multiplication table of {} from {} to {}",
        "multiplication table of {} from {} to {}",
        "table of {} from {} to {}",
    )
    lines = [f"{number} × {factor} = {number * factor}" for factor in range(first, last + 1)]
    canonical = f"table {number} {first} {last}"
    return Item(wording.format(number, first, last), canonical, "\n".join(lines))


Task = Callable[[Random], Item]

SHORT_TASKS: dict[str, Task] = {
    "reverse": reverse,
    "sort": sort,
    "add": add,
    "count": count_letters,
}
"""Answers of one canvas."""

LONG_TASKS: dict[str, Task] = {"count_up": count_up, "table": table}
"""Answers that span canvases."""

TASKS = SHORT_TASKS | LONG_TASKS


def draw(task: Task, random: Random, *, held_out: bool) -> Item:
    """A random item from one side of the split."""
    while (item := task(random)).held_out != held_out:
        pass
    return item


def held_out_items(task: Task, count: int, seed: int) -> list[Item]:
    """`count` different held-out items, in the task's first wording where the draw gives it or any
    other.
    """
    random, items = Random(f"held out {seed}"), {}
    while len(items) < count:
        item = draw(task, random, held_out=True)
        items.setdefault(item.canonical, item)
    return list(items.values())


def _word(random: Random) -> str:
    return "".join(random.choices(string.ascii_lowercase, k=random.randint(3, 7)))


def _say(random: Random, usual: str, *others: str) -> str:
    """The usual wording most of the time, so that other wordings are known but do not dominate."""
    return usual if random.random() < 0.7 else random.choice(others)
