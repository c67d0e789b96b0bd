"""Questions with labels that a real server refuses: each by field, value and bound."""

from __future__ import annotations

import math
from collections.abc import Sequence

import grpc
import pytest
from calls import REVERSE, chat, deciding, details_of, found, question
from google.rpc import error_details_pb2
from server_process import ServerProcess

from palimpsest.v1 import chat_pb2, decide_pb2, model_pb2, prompt_pb2


def answered(
    server: ServerProcess, prompt: str | prompt_pb2.Prompt, *questions: decide_pb2.Question
) -> Sequence[decide_pb2.Decision]:
    return server.stub.Decide(deciding(prompt, *questions)).decisions


def refused(server: ServerProcess, request: decide_pb2.DecideRequest, message: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        server.stub.Decide(request)
    refusal = details_of(caught.value)
    assert refusal.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert refusal.message == message
    bad = error_details_pb2.BadRequest()
    assert found(refusal, bad)
    field, _, reason = message.partition(": ")
    assert (bad.field_violations[0].field, bad.field_violations[0].description) == (field, reason)


def labelled(*labels: str) -> Sequence[decide_pb2.Question]:
    """The second of two questions has these labels."""
    return question("ab"), question(labels)


BAD_QUESTIONS: list[tuple[Sequence[decide_pb2.Question], str]] = [
    ([], "questions: 0 are outside 1 to 1024"),
    ([question("ab")] * 1_025, "questions: 1025 are outside 1 to 1024"),
    (labelled(), "questions[1].labels: 0 are outside 2 to 256"),
    (labelled("a"), "questions[1].labels: 1 are outside 2 to 256"),
    (labelled(*map(str, range(257))), "questions[1].labels: 257 are outside 2 to 256"),
    (labelled("a", "b", ""), "questions[1].labels[2]: is empty"),
    (labelled("a", "b", "a"), "questions[1].labels[2]: 'a' is the label at index 0 too"),
    (
        labelled("a", "b" * 64),
        "questions[1].labels[1]: 64 tokens are not fewer than the 64 of a canvas",
    ),
]


@pytest.mark.parametrize(("questions", "message"), BAD_QUESTIONS)
def test_bad_questions_are_refused_by_field_value_and_bound(
    server: ServerProcess, questions: Sequence[decide_pb2.Question], message: str
) -> None:
    refused(server, deciding(REVERSE, *questions), message)


@pytest.mark.parametrize("labels", [["a", "b" * 63], list(map(str, range(256)))])
def test_labels_on_the_bounds_are_taken(server: ServerProcess, labels: list[str]) -> None:
    [decision] = answered(server, REVERSE, question(labels))
    assert [score.label for score in decision.scores] == labels


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("denoising_steps", 0, "0 is outside 1 to 64"),
        ("denoising_steps", 65, "65 is outside 1 to 64"),
        ("calibration_temperature", 0.009, "0.009 is outside 0.01 to 100.0"),
        ("calibration_temperature", 101.0, "101.0 is outside 0.01 to 100.0"),
        ("calibration_temperature", -1.0, "-1.0 is outside 0.01 to 100.0"),
        ("calibration_temperature", math.nan, "nan is outside 0.01 to 100.0"),
        ("calibration_temperature", math.inf, "inf is outside 0.01 to 100.0"),
        ("request_id", "two\nlines", "is not 128 bytes or less of printable text"),
        ("prompt", prompt_pb2.Prompt(), "is empty: set text, tokens or chat"),
    ],
)
def test_every_field_is_refused_outside_its_bound(
    server: ServerProcess, field: str, value: object, message: str
) -> None:
    request = deciding(REVERSE, question("ab"))
    request.ClearField(field)  # type: ignore[arg-type]
    request.MergeFrom(decide_pb2.DecideRequest(**{field: value}))  # type: ignore[arg-type]
    refused(server, request, f"{field}: {message}")


def test_a_prompt_that_is_to_think_is_refused(server: ServerProcess) -> None:
    thinking = chat(REVERSE)
    thinking.chat.enable_thinking = True
    message = (
        "prompt.chat.enable_thinking: labels are scored at the start of the answer, so there is no "
        "thought before it"
    )
    refused(server, deciding(thinking, question("ab")), message)


def test_a_prompt_that_ends_within_a_thought_is_refused(server: ServerProcess) -> None:
    opened = prompt_pb2.Prompt(text="<|turn>model\n<|channel>thought\nwell")
    message = "prompt: ends within a thought, and labels are scored at the start of an answer"
    refused(server, deciding(opened, question("ab")), message)
    closed = prompt_pb2.Prompt(text="<|turn>model\n<|channel>thought\n<channel|>")
    assert answered(server, closed, question("ab"))


def test_a_question_behind_an_answer_of_the_model_is_refused(server: ServerProcess) -> None:
    conversation = chat("hello")
    part = chat_pb2.ContentPart(text="hello")
    conversation.chat.messages.append(
        chat_pb2.ChatMessage(role=chat_pb2.CHAT_ROLE_ASSISTANT, parts=[part])
    )
    message = (
        "prompt.chat.messages[1].role: is 'assistant': questions are appended to a message of the "
        "user"
    )
    refused(server, deciding(conversation, question("ab"), question("ab", "who?")), message)
    # where nothing is appended there is nothing to refuse
    assert answered(server, conversation, question("ab"))


def test_a_question_that_does_not_fit_the_context_is_refused_before_any_runs(
    server: ServerProcess,
) -> None:
    most = server.stub.GetModel(model_pb2.GetModelRequest()).model.max_context_tokens
    tokens = prompt_pb2.Prompt(tokens=prompt_pb2.TokenPrompt(token_ids=[300] * (most - 16)))
    assert answered(server, prompt_pb2.Prompt(text="a"), question("ab"))
    message = (
        f"questions[1].text: {most - 15} tokens of prompt and question and a canvas of 16 are more "
        f"than the context of {most} tokens"
    )
    refused(server, deciding(tokens, question("ab"), question("ab", "c")), message)


def test_an_unknown_model_is_not_found(server: ServerProcess) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        server.stub.Decide(deciding(REVERSE, question("ab"), model="gpt-5"))
    assert details_of(caught.value).code == grpc.StatusCode.NOT_FOUND.value[0]


def test_a_field_that_the_contract_does_not_know_is_refused(server: ServerProcess) -> None:
    request = deciding(REVERSE, question("ab"))
    request.questions[0].MergeFromString(b"\xf8\x3f\x01")
    message = "questions[0]: palimpsest.v1.Question has no field number 1023"
    refused(server, request, message)
