"""Examples in the surroundings that people put them in."""

from __future__ import annotations

from random import Random

from palimpsest.engine.training.batches import ExampleSource


def test_most_questions_come_after_their_picture_and_some_before() -> None:
    source = ExampleSource()
    last = []
    for number in range(60):
        random = Random(number)
        example = source.draw("see_colour", random, canvas_length=16, filling_weight=1.0)
        (picture,) = example.pictures
        after = source.tokenizer.decode(
            example.prompt[picture.end + 1 :], skip_special_tokens=False
        )
        last.append(after.startswith("<turn|>"))
    assert 10 <= sum(last) <= 26
