"""Public suites from files that people have on disk, with the prompts we ask them in.

No examples are shown to the model, and nothing is asked for but a last line in a form that can be
read. Published scores are often measured with examples, other prompts or votes over many answers;
a score from here is to be compared with another score from here.
"""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

from palimpsest.evaluation.items import Item, asked, identified
from palimpsest.evaluation.lines import Line, read
from palimpsest.evaluation.matchers import Matcher, last_number

SUITES = ("gsm8k", "aime", "gpqa")

NUMBER_PROMPT = (
    "{question}\n\nWork it out step by step. Then write a last line of the form "
    '"Answer: N", where N is the number alone.'
)
LETTER_PROMPT = (
    "{question}\n\n{options}\n\nThink step by step. Then write a last line of the form "
    '"Answer: X", where X is the letter of the right option.'
)
GSM8K_MAX_OUTPUT_TOKENS = 1_024
GPQA_MAX_OUTPUT_TOKENS = 4_096
AIME_MAX_OUTPUT_TOKENS = 8_192
"""Room for the steps; the checkpoint's own default, 256, holds an answer but not the way to it."""


def load(suite: str, path: Path) -> list[Item]:
    """The items of a file of one of `SUITES`. Raises BadInput."""
    lines = read(path)
    match suite:
        case "gsm8k":
            return [_gsm8k(line) for line in lines]
        case "aime":
            return [_aime(line) for line in lines]
        case "gpqa":
            return [_gpqa(_lower(line)) for line in lines]
    raise ValueError(f"{suite!r} is none of {', '.join(SUITES)}")


def _gsm8k(line: Line) -> Item:
    """`question` and `answer`, which ends with the number behind ####."""
    _, mark, number = line.need("answer", str).rpartition("####")
    if not mark or last_number(number) is None:
        raise line.refusal("answer", "does not end with #### and a number")
    return _number_item("gsm8k", line.need("question", str), number, GSM8K_MAX_OUTPUT_TOKENS)


def _aime(line: Line) -> Item:
    """`problem` or `question`, and `answer`, a whole number as such or as text."""
    question = line.get("problem", str) or line.need("question", str)
    answer = line.fields.get("answer")
    if isinstance(answer, bool) or not re.fullmatch(r"\s*\d+\s*", str(answer)):
        raise line.refusal("answer", f"{answer!r} is not a whole number")
    return _number_item("aime", question, str(answer), AIME_MAX_OUTPUT_TOKENS)


def _gpqa(line: Line) -> Item:
    """`question`, `correct_answer` and `incorrect_answer_1` to `_3`, in any case and with spaces
    for underscores. The options are shuffled by the question, so every run shows one order.
    """
    question = line.need("question", str)
    right = line.need("correct_answer", str).strip()
    options = [right, *(line.need(f"incorrect_answer_{n}", str).strip() for n in (1, 2, 3))]
    Random(f"gpqa {question}").shuffle(options)
    listed = "\n".join(f"{letter}) {text}" for letter, text in zip("ABCD", options, strict=True))
    return identified(
        Item(
            id="",
            skill="gpqa",
            messages=asked(LETTER_PROMPT.format(question=question.strip(), options=listed)),
            expected="ABCD"[options.index(right)],
            matcher=Matcher.LETTER,
            max_output_tokens=GPQA_MAX_OUTPUT_TOKENS,
        )
    )


def _number_item(skill: str, question: str, answer: str, max_output_tokens: int) -> Item:
    return identified(
        Item(
            id="",
            skill=skill,
            messages=asked(NUMBER_PROMPT.format(question=question.strip())),
            expected=answer.strip(),
            matcher=Matcher.NUMBER,
            max_output_tokens=max_output_tokens,
        )
    )


def _lower(line: Line) -> Line:
    fields = {name.lower().replace(" ", "_"): value for name, value in line.fields.items()}
    return Line(path=line.path, number=line.number, fields=fields)
