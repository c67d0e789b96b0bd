"""Answers in JSON: a sentence in, an object of a named schema out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from random import Random
from typing import Any

from palimpsest.engine.training.items import Item, ask
from palimpsest.engine.training.wording import say, word


def record(random: Random) -> Item:
    schema, sentence, values = random.choice((_person, _order, _point, _book))(random)
    question = say(
        random, "as {} json: {}", "write a {} as json: {}", "{} to json: {}", "json {}: {}"
    )
    answer = json.dumps(values)
    return ask(question.format(schema, sentence), f"json {schema} {answer}", answer)


Record = tuple[str, str, Mapping[str, Any]]
"""Name of the schema, a sentence, and what it says."""


def _person(random: Random) -> Record:
    name, age = word(random), random.randint(1, 99)
    sentence = say(random, "{} is {} years old", "{}, age {}", "{}, aged {}").format(name, age)
    return "person", sentence, {"name": name, "age": age}


def _order(random: Random) -> Record:
    item, amount, paid = word(random), random.randint(2, 99), random.random() < 0.5
    state = "paid" if paid else "not paid"
    sentence = say(random, "{} pieces of {}, {}", "{} {}, {}").format(amount, item, state)
    return "order", sentence, {"item": item, "count": amount, "paid": paid}


def _point(random: Random) -> Record:
    x, y = random.randint(-99, 99), random.randint(-99, 99)
    sentence = say(random, "x is {} and y is {}", "x {}, y {}").format(x, y)
    return "point", sentence, {"x": x, "y": y}


def _book(random: Random) -> Record:
    title, author, pages = word(random), word(random), random.randint(10, 999)
    sentence = say(random, "{} by {}, {} pages", "{} by {} with {} pages")
    values = {"title": title, "author": author, "pages": pages}
    return "book", sentence.format(title, author, pages), values
