"""Questions with labels through both clients, on the real server."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from palimpsest import AsyncClient, Client, errors
from palimpsest.decisions import Question, decide_request
from palimpsest.prompts import PromptSource

SHARED = "count the letter "
QUESTIONS = ("a in banana", "x in fox", "z in tea")
DIGITS = ("0", "1", "2", "3")


@pytest.fixture(scope="module")
def client(server_address: str) -> Iterator[Client]:
    with Client(server_address) as client:
        yield client


def test_a_prompt_with_labels_is_a_question(client: Client) -> None:
    decided = client.decide("count the letter a in banana", labels=DIGITS, seed=7)
    [decision] = decided.decisions
    assert tuple(score.label for score in decision.scores) == DIGITS
    assert decision.best.label == "3"
    assert decision.best == decision.scores[decision.best_index]
    assert math.fsum(score.probability for score in decision.scores) == pytest.approx(1.0)
    assert decided.seed == 7
    assert decided.model == "palimpsest-tiny"
    assert decided.usage.output_tokens == 0
    assert decided.usage.denoising_steps == 1
    assert decided.duration_s > 0


def test_many_questions_share_a_prompt_and_may_have_labels_of_their_own(client: Client) -> None:
    decided = client.decide(
        SHARED,
        [*QUESTIONS, Question(text="e in tea", labels=["one", "1"])],
        labels=DIGITS,
        seed=7,
        denoising_steps=2,
    )
    assert [decision.best.label for decision in decided.decisions] == ["3", "1", "0", "1"]
    assert (decided.usage.canvases, decided.usage.denoising_steps) == (4, 8)
    [alone] = client.decide(
        SHARED + QUESTIONS[0], labels=DIGITS, seed=7, denoising_steps=2
    ).decisions
    assert alone.best_index == decided.decisions[0].best_index


async def test_the_asyncio_client_gets_the_same_scores(server_address: str, client: Client) -> None:
    asked: dict[str, Any] = {"labels": DIGITS, "seed": 7, "calibration_temperature": 2.0}
    async with AsyncClient(server_address) as aio:
        decided = await aio.decide(SHARED, QUESTIONS, **asked)
    assert decided.seed == 7
    again = client.decide(SHARED, QUESTIONS, **asked)
    for one, other in zip(decided.decisions, again.decisions, strict=True):
        assert one.best_index == other.best_index
        assert [s.probability for s in one.scores] == pytest.approx(
            [s.probability for s in other.scores], rel=1e-4
        )


def test_conversations_and_raw_text_are_prompts_too(client: Client) -> None:
    messages = [{"role": "user", "content": SHARED}]
    one = client.decide(messages=messages, questions=QUESTIONS, labels=DIGITS, seed=7)
    assert one.decisions == client.decide(SHARED, QUESTIONS, labels=DIGITS, seed=7).decisions
    raw = client.decide(raw_text=SHARED, questions=QUESTIONS, labels=DIGITS, seed=7)
    assert raw.usage.prompt_tokens < one.usage.prompt_tokens


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"labels": ["a"]}, "questions[0].labels"),
        ({"questions": [], "labels": ["a", "b"]}, "questions"),
        ({"labels": ["a", "b"], "denoising_steps": 65}, "denoising_steps"),
        ({"labels": ["a", "b"], "calibration_temperature": 0.0}, "calibration_temperature"),
        ({"labels": ["a", "b"], "enable_thinking": True}, "prompt.chat.enable_thinking"),
    ],
)
def test_what_the_server_refuses_is_named(
    client: Client, arguments: dict[str, Any], field: str
) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        client.decide("hello", **arguments)
    assert [violation.field for violation in caught.value.violations] == [field]


@pytest.mark.parametrize(
    ("prompt", "questions", "labels", "options", "field"),
    [
        (None, [""], ["a", "b"], {}, "prompt"),
        ("x", [""], "ab", {}, "questions[0].labels"),
        ("x", ["", Question(labels="ab")], ["a", "b"], {}, "questions[1].labels"),
        ("x", [""], ["a", 5], {}, "questions[0]"),
        ("x", [""], ["a", "b"], {"seed": -1}, "seed"),
        ("x", [""], ["a", "b"], {"denoising_steps": "two"}, "denoising_steps"),
    ],
)
def test_what_cannot_be_sent_is_refused_here_by_the_contracts_name(
    prompt: str | None,
    questions: Sequence[Question | str],
    labels: Sequence[str],
    options: dict[str, Any],
    field: str,
) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        decide_request(PromptSource(prompt=prompt), questions, labels=labels, model="", **options)
    assert [violation.field for violation in caught.value.violations] == [field]
