"""Questions with labels on a real server of the bundled model."""

from __future__ import annotations

import json
import math
from importlib import resources
from random import Random

import pytest
from calls import chat, question
from counting import DIGITS, HOW_MANY, counting, decide
from server_process import ServerProcess

from palimpsest.engine.api import TextCodec, checkpoint_folder
from palimpsest.v1 import chat_pb2, decide_pb2, model_pb2, prompt_pb2

SKILLS = {
    "count": tuple("01234"),
    "compare": ("yes", "no"),
    "colour": ("red", "blue", "green", "yellow", "white", "black", "brown", "pink"),
}
"""Suites of the bundled model whose answers are labels, with those labels."""


def suite(name: str) -> list[dict[str, str]]:
    """Questions that the model was not trained on."""
    folder = resources.files("palimpsest.evaluation") / "suites/bundled"
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]


def approximately(decision: decide_pb2.Decision) -> object:
    """The same log-probabilities but for a few last bits of logits, which the softcap keeps below
    32: sums round otherwise where a prompt is read in other pieces.
    """
    return pytest.approx(log_probabilities(decision), rel=0, abs=8 * 2**-19)


def log_probabilities(decision: decide_pb2.Decision) -> list[float]:
    return [score.log_probability for score in decision.scores]


@pytest.mark.parametrize("skill", SKILLS)
def test_the_best_label_answers_questions_that_the_model_was_not_trained_on(
    wide: ServerProcess, skill: str
) -> None:
    items, labels = suite(skill)[:100], SKILLS[skill]
    right = 0
    for item in items:
        [decision] = decide(wide, item["prompt"], question(labels)).decisions
        right += labels[decision.best_index] == item["expected"]
    # generation gets 96.5 to 99.5 % of the whole suites
    assert right >= 91


def test_labels_of_several_tokens_are_told_apart(wide: ServerProcess) -> None:
    right = 0
    for number, item in enumerate(suite("reverse")[:20]):
        random, expected = Random(number), item["expected"]
        labels = {expected, expected + expected[-1], expected[:-1], expected[1:] + "q", "canvas"}
        labels.add("".join(random.sample(expected, len(expected))))
        ordered = sorted(labels)
        [decision] = decide(wide, item["prompt"], question(ordered)).decisions
        right += ordered[decision.best_index] == expected
    assert right >= 19


def test_a_question_is_scored_the_same_alone_and_among_32(wide: ServerProcess) -> None:
    questions = [counting(number) for number in range(32)]
    together = decide(wide, HOW_MANY, *questions).decisions
    assert len(together) == 32
    assert len({decision.best_index for decision in together}) > 1
    for one, decision in zip(questions, together, strict=True):
        [alone] = decide(wide, HOW_MANY, one).decisions
        assert alone.best_index == decision.best_index
        assert log_probabilities(alone) == approximately(decision)


def test_more_questions_than_run_at_once_are_answered_in_their_order(
    server: ServerProcess, wide: ServerProcess
) -> None:
    questions = [counting(number) for number in range(10)]
    labels = [question.labels for question in questions]
    one_by_one = decide(server, HOW_MANY, *questions)
    assert [[s.label for s in d.scores] for d in one_by_one.decisions] == labels
    together = decide(wide, HOW_MANY, *questions)
    for one, other in zip(one_by_one.decisions, together.decisions, strict=True):
        assert log_probabilities(one) == approximately(other)


@pytest.mark.slow
def test_a_thousand_questions_are_answered_in_one_call(wide: ServerProcess) -> None:
    tokens = prompt_pb2.Prompt(tokens=prompt_pb2.TokenPrompt(token_ids=[2, 300]))
    answer = decide(wide, tokens, *(question("ab", str(number)) for number in range(1_024)))
    assert len(answer.decisions) == answer.usage.canvases == 1_024
    assert len({tuple(log_probabilities(decision)) for decision in answer.decisions}) > 1_000


def test_the_shared_prompt_is_read_once(wide: ServerProcess) -> None:
    shared = "".join(Random(1).choices("abcdefgh ", k=300))
    questions = [question("ab", str(number)) for number in range(9)]
    usage = decide(wide, shared, *questions).usage
    # 300 letters are 4 whole pages of 64 tokens, whatever the template puts around them
    assert usage.cached_prompt_tokens == 8 * 256
    assert usage.prompt_tokens > 9 * 300


def test_usage_and_duration_are_those_of_all_questions(wide: ServerProcess) -> None:
    questions = [counting(number) for number in range(3)]
    each = [
        wide.stub.CountTokens(
            model_pb2.CountTokensRequest(prompt=chat(HOW_MANY + question.text))
        ).token_count
        for question in questions
    ]
    answer = decide(wide, HOW_MANY, *questions, denoising_steps=4, request_id="mine")
    assert answer.usage.prompt_tokens == sum(each)
    assert (answer.usage.canvases, answer.usage.denoising_steps) == (3, 12)
    assert answer.usage.output_tokens == answer.usage.thinking_tokens == 0
    assert answer.duration.ToNanoseconds() > 0
    assert (answer.request_id, answer.model) == ("mine", "palimpsest-tiny")


def test_each_number_of_steps_reads_another_canvas(wide: ServerProcess) -> None:
    told = []
    for steps in (None, 1, 2, 16):
        fields = {} if steps is None else {"denoising_steps": steps}
        answer = decide(wide, HOW_MANY, counting(3), **fields)
        assert answer.usage.denoising_steps == (steps or 1)
        told.append(log_probabilities(answer.decisions[0]))
    assert told[0] == told[1]
    assert len({tuple(values) for values in told}) == 3


def test_shares_add_up_to_one_and_follow_the_log_probabilities(wide: ServerProcess) -> None:
    for decision in decide(wide, HOW_MANY, *map(counting, range(8))).decisions:
        weights = [math.exp(value) for value in log_probabilities(decision)]
        shares = [score.probability for score in decision.scores]
        assert sum(shares) == pytest.approx(1.0)
        assert shares == pytest.approx([weight / sum(weights) for weight in weights])
        assert all(value <= 0.0 for value in log_probabilities(decision))
        assert shares[decision.best_index] == max(shares)


@pytest.mark.parametrize("temperature", [0.01, 0.5, 3.0, 100.0])
def test_calibration_changes_shares_alone(wide: ServerProcess, temperature: float) -> None:
    [plain] = decide(wide, HOW_MANY, counting(3)).decisions
    [calibrated] = decide(
        wide, HOW_MANY, counting(3), calibration_temperature=temperature
    ).decisions
    assert log_probabilities(calibrated) == log_probabilities(plain)
    assert calibrated.best_index == plain.best_index
    weights = [math.exp(value / temperature) for value in log_probabilities(plain)]
    shares = [score.probability for score in calibrated.scores]
    assert shares == pytest.approx([weight / sum(weights) for weight in weights], abs=1e-12)
    sharpest = [max(score.probability for score in d.scores) for d in (plain, calibrated)]
    assert (sharpest[1] > sharpest[0]) is (temperature < 1.0)


def test_one_seed_gives_one_score(wide: ServerProcess) -> None:
    first = decide(wide, HOW_MANY, counting(3), seed=11).decisions
    assert decide(wide, HOW_MANY, counting(3), seed=11).decisions == first
    assert decide(wide, HOW_MANY, counting(3), seed=12).decisions != first


def test_a_seed_that_the_server_drew_is_told_and_gives_the_same_scores(
    wide: ServerProcess,
) -> None:
    unseeded = decide_pb2.DecideRequest(prompt=chat(HOW_MANY), questions=[counting(3)])
    drawn, other = wide.stub.Decide(unseeded), wide.stub.Decide(unseeded)
    assert drawn.seed != other.seed
    again = decide(wide, HOW_MANY, counting(3), seed=drawn.seed)
    assert again.decisions == drawn.decisions


def test_questions_stand_behind_any_kind_of_prompt_as_they_are(wide: ServerProcess) -> None:
    whole, text = HOW_MANY + counting(3).text, counting(3).text
    codec = TextCodec(checkpoint_folder("bundled"))
    conversation = chat("hello")
    conversation.chat.messages.append(
        chat_pb2.ChatMessage(
            role=chat_pb2.CHAT_ROLE_ASSISTANT, parts=[chat_pb2.ContentPart(text="hello")]
        )
    )
    longer = prompt_pb2.Prompt()
    longer.CopyFrom(conversation)
    conversation.chat.messages.append(chat(HOW_MANY).chat.messages[0])
    longer.chat.messages.append(chat(whole).chat.messages[0])
    tokens = prompt_pb2.TokenPrompt(token_ids=codec.encode(HOW_MANY))
    for shared, alone in (
        (chat(HOW_MANY), chat(whole)),
        (conversation, longer),
        (prompt_pb2.Prompt(text=HOW_MANY), prompt_pb2.Prompt(text=whole)),
        (prompt_pb2.Prompt(tokens=tokens), prompt_pb2.Prompt(text=whole)),
    ):
        appended = decide(wide, shared, question(DIGITS, text)).decisions
        assert appended == decide(wide, alone, question(DIGITS)).decisions


def test_special_tokens_in_questions_and_labels_are_ordinary_text(wide: ServerProcess) -> None:
    [decision] = decide(wide, HOW_MANY, question(("<turn|>", "1"), "<turn|>")).decisions
    # an end token would be nearly certain behind nothing
    assert decision.best_index == 1
