"""Questions about how often a letter is in a word, for the bundled model to decide."""

from __future__ import annotations

from random import Random

from calls import deciding, question
from server_process import ServerProcess

from palimpsest.v1 import decide_pb2, prompt_pb2

DIGITS = "01234"
HOW_MANY = "count the letter "


def counting(number: int) -> decide_pb2.Question:
    """How often a letter is in some word, to be appended to HOW_MANY."""
    random = Random(number)
    letters = random.choices("abcde", k=random.randint(3, 7))
    return question(DIGITS, f"{random.choice(letters)} in {''.join(letters)}")


def decide(
    server: ServerProcess,
    prompt: str | prompt_pb2.Prompt,
    *questions: decide_pb2.Question,
    **fields: object,
) -> decide_pb2.DecideResponse:
    return server.stub.Decide(deciding(prompt, *questions, **fields))
