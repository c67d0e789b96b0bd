"""Skills on single words: most are random letters, so that there is nothing to know by heart."""

from __future__ import annotations

import string
from random import Random

from palimpsest.engine.training.items import Item, ask
from palimpsest.engine.training.wording import say, word


def reverse(random: Random) -> Item:
    return _reverse(random, word(random))


def reverse_long(random: Random) -> Item:
    """Fills most of a canvas."""
    return _reverse(random, word(random, shortest=30, longest=62))


def sort(random: Random) -> Item:
    return _sort(random, word(random))


def sort_long(random: Random) -> Item:
    """Hard on purpose."""
    return _sort(random, word(random, shortest=14, longest=17))


def count(random: Random) -> Item:
    letter, given = _letter_and_word(random)
    question = say(random, "count the letter {} in {}", "how many {} are in {}?", "count {} in {}")
    answer = str(given.count(letter))
    return ask(question.format(letter, given), f"letters {letter} {given}", answer)


def mark(random: Random) -> Item:
    """Teaches to find a letter, which counting alone teaches slowly."""
    letter, given = _letter_and_word(random)
    question = say(random, "mark the letter {} in {}", "mark {} in {}", "mark each {} in {}")
    answer = given.replace(letter, letter.upper())
    return ask(question.format(letter, given), f"mark {letter} {given}", answer)


def upper(random: Random) -> Item:
    given = word(random)
    question = say(random, "write in capitals: {}", "upper-case {}", "shout {}")
    return ask(question.format(given), f"upper {given}", given.upper())


def repeat(random: Random) -> Item:
    given, times = word(random), random.randint(2, 6)
    question = say(random, "repeat {} {} times", "write {} {} times", "say {} {} times")
    answer = " ".join([given] * times)
    return ask(question.format(given, times), f"repeat {given} {times}", answer)


def _reverse(random: Random, given: str) -> Item:
    question = say(random, "reverse the word: {}", "reverse {}", "spell {} backwards")
    return ask(question.format(given), f"reverse {given}", given[::-1])


def _sort(random: Random, given: str) -> Item:
    question = say(
        random, "sort the letters: {}", "sort {}", "sort the letters of {}", "order the letters: {}"
    )
    return ask(question.format(given), f"sort {given}", "".join(sorted(given)))


def _letter_and_word(random: Random) -> tuple[str, str]:
    """A letter and a word that has it 0 to 4 times."""
    letter = random.choice(string.ascii_lowercase)
    others = string.ascii_lowercase.replace(letter, "")
    letters = [letter] * random.randint(0, 4)
    letters += [random.choice(others) for _ in range(random.randint(2, 6))]
    random.shuffle(letters)
    return letter, "".join(letters)
