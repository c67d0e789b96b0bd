"""Answers that have to be of a form, and thoughts that have a budget, from a real server."""

from __future__ import annotations

import json
import os
import re
from random import Random
from typing import Any

import grpc
import jsonschema
import pytest
from calls import COUNT, REVERSE, asking, details_of, generate, stream
from schemas import ALL, TRAINED, Schema
from server_process import ServerProcess

from palimpsest.v1 import canvas_pb2, generation_pb2, sampling_pb2

Format = sampling_pb2.ResponseFormat
REQUESTS = int(os.environ.get("PALIMPSEST_SCHEMA_REQUESTS", "60"))


def in_form(question: str, wanted: Format, **fields: int | float) -> generation_pb2.GenerationInput:
    sampling = sampling_pb2.SamplingParameters(response_format=wanted, **{"seed": 7, **fields})  # type: ignore[arg-type]
    return asking(question, sampling)


def of_schema(schema: Schema) -> Format:
    return Format(json_schema=json.dumps(schema))


def choices(*texts: str) -> Format:
    return Format(choices=sampling_pb2.Choices(texts=texts))


@pytest.mark.timeout(900)
def test_every_answer_validates(server: ServerProcess) -> None:
    """PALIMPSEST_SCHEMA_REQUESTS=500 makes more of them."""
    random, names = Random(0), list(ALL)
    for index in range(REQUESTS):
        name = names[index % len(names)]
        question = random.choice([COUNT, REVERSE, "as person json: ada, age 36", "who are you?"])
        fields = {"seed": index, "max_output_tokens": random.choice([70, 100, 128, 200])}
        answer = generate(server, in_form(question, of_schema(ALL[name]), **fields))
        jsonschema.validate(json.loads(answer.text), ALL[name])
        assert answer.finish_reason == generation_pb2.FINISH_REASON_STOP


@pytest.mark.parametrize("limit", [17, 20, 40, 64, 65, 100])
def test_an_answer_ends_in_time_however_few_tokens_it_has(
    server: ServerProcess, limit: int
) -> None:
    schema = {"type": "array", "items": {"type": "string", "minLength": 3}, "minItems": 2}
    wanted = in_form(COUNT, of_schema(schema), max_output_tokens=limit)
    answer = generate(server, wanted)
    jsonschema.validate(json.loads(answer.text), schema)
    assert len(answer.token_ids) <= limit


def test_a_form_goes_on_from_canvas_to_canvas(server: ServerProcess) -> None:
    answer = generate(server, in_form(COUNT, Format(regex="(?:[0-9]+ ){60,}end")))
    assert re.fullmatch("(?:[0-9]+ ){60,}end", answer.text)
    assert answer.usage.canvases > 1


def test_an_answer_matches_an_expression(server: ServerProcess) -> None:
    for seed in range(5):
        answer = generate(server, in_form("add 27 and 48", Format(regex="[0-9]{3}"), seed=seed))
        assert re.fullmatch("[0-9]{3}", answer.text)


def test_an_answer_is_one_of_the_choices(server: ServerProcess) -> None:
    texts = ("savnac", "canvas", "😀 neither", "savna")
    assert generate(server, in_form(REVERSE, choices(*texts))).text == "savnac"
    assert generate(server, in_form(REVERSE, choices("yes", "no"))).text in ("yes", "no")


def test_a_form_that_the_model_would_keep_anyway_changes_nothing(server: ServerProcess) -> None:
    free = generate(server, asking(COUNT, sampling_pb2.SamplingParameters(seed=3)))
    kept = generate(server, in_form(COUNT, Format(regex="[0-9 ]+"), seed=3))
    assert kept.text == free.text


def test_drafts_are_of_the_form_too(server: ServerProcess) -> None:
    wanted = in_form(REVERSE, Format(regex="[0-9]{4}"))
    preview = canvas_pb2.PreviewOptions(mode=canvas_pb2.PREVIEW_MODE_TEXT, max_rate_hz=1000)
    drafts: list[str] = []
    while not drafts:
        events = list(stream(server, wanted, preview))
        drafts = [event.snapshot.text for event in events if event.HasField("snapshot")]
    assert all(re.fullmatch("[0-9]{4}", draft) for draft in drafts)


def test_the_same_seed_gives_the_same_form(server: ServerProcess) -> None:
    wanted = in_form(COUNT, of_schema(ALL["words"]), seed=11)
    first, second = (generate(server, wanted).token_ids for _ in range(2))
    assert first == second


def test_a_resumed_answer_goes_on_in_its_form(server: ServerProcess) -> None:
    wanted = in_form(COUNT, Format(regex="(?:[0-9]+ ){50,}end"), seed=5)
    whole = generate(server, wanted)
    commits = [e.commit for e in stream(server, wanted) if e.HasField("commit")]
    resume = generation_pb2.ResumePoint(
        first_canvas_index=1, committed_token_ids=commits[0].token_ids
    )
    request = generation_pb2.StreamGenerateRequest(input=wanted, resume=resume)
    rest = [e.commit for e in server.stub.StreamGenerate(request) if e.HasField("commit")]
    texts = [commit.text_delta for commit in [commits[0], *rest]]
    assert "".join(texts) == whole.text


@pytest.mark.parametrize("committed", [[374] * 64, [364] * 63 + [374]])
def test_what_is_resumed_has_to_be_of_the_form(server: ServerProcess, committed: list[int]) -> None:
    wanted = in_form(COUNT, Format(regex="0{70,}"), seed=5)
    resume = generation_pb2.ResumePoint(first_canvas_index=1, committed_token_ids=committed)
    request = generation_pb2.StreamGenerateRequest(input=wanted, resume=resume)
    with pytest.raises(grpc.RpcError) as caught:
        list(server.stub.StreamGenerate(request))
    status = details_of(caught.value)
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert status.message.startswith("resume.committed_token_ids: ")
    # and nothing else is lost
    assert generate(server, asking(REVERSE)).text == "savnac"


PERSON = of_schema(TRAINED["person"])
STOPPED: dict[str, Any] = {"stop_sequences": ["x"]}


@pytest.mark.parametrize(
    ("wanted", "field", "reason"),
    [
        (Format(regex="(?=a)b"), "response_format.regex", "assert is not supported"),
        (Format(regex="[^\\s\\S]"), "response_format.regex", "no text"),
        (Format(json_schema="{"), "response_format.json_schema", "is not JSON"),
        (
            Format(json_schema='{"type": "integer", "minimum": 3}'),
            "response_format.json_schema",
            "keyword 'minimum' of $ is not supported",
        ),
        (choices(), "response_format.choices.texts", "0 texts are outside 1 to 1024"),
        (choices("a", "b", "a"), "response_format.choices.texts[2]", "'a' is there before"),
        (choices("a", ""), "response_format.choices.texts[1]", "is empty"),
    ],
)
def test_a_form_that_cannot_be_kept_is_refused_by_name(
    server: ServerProcess, wanted: Format, field: str, reason: str
) -> None:
    assert_refused(server, in_form(REVERSE, wanted), f"input.sampling.{field}", reason)


def test_a_form_that_finds_no_room_is_refused_before_anything_is_written(
    server: ServerProcess,
) -> None:
    wanted = in_form(REVERSE, choices("savnac"), max_output_tokens=4)
    reason = "4 is below 7, the tokens of the shortest answer"
    assert_refused(server, wanted, "input.sampling.max_output_tokens", reason)


@pytest.mark.parametrize(
    ("field", "extra"),
    [
        ("sampling.stop_sequences", {"sampling": {"stop_sequences": ["x"]}}),
        ("sampling.stop_token_ids", {"sampling": {"stop_token_ids": [5]}}),
        ("sampling.banned_token_ids", {"sampling": {"banned_token_ids": [5]}}),
        ("sampling.allowed_token_ids", {"sampling": {"allowed_token_ids": [5]}}),
        ("canvas.template", {"canvas": {"template": {"spans": [{"free": {"token_count": 3}}]}}}),
        (
            "canvas.pinned_positions",
            {"canvas": {"starting_token_ids": [5], "pinned_positions": [0]}},
        ),
        ("prompt.chat.tools", {"prompt": {"chat": {"tools": [{"name": "f"}]}}}),
    ],
)
def test_what_a_form_cannot_be_together_with_is_named(
    server: ServerProcess, field: str, extra: dict[str, Any]
) -> None:
    wanted = in_form(REVERSE, PERSON)
    wanted.MergeFrom(generation_pb2.GenerationInput(**extra))
    assert_refused(server, wanted, f"input.{field}", "cannot be together with")


def assert_refused(
    server: ServerProcess, wanted: generation_pb2.GenerationInput, field: str, reason: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        generate(server, wanted)
    status = details_of(caught.value)
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert status.message.startswith(f"{field}: ")
    assert reason in status.message


def thoughtful(budget: int | None) -> generation_pb2.GenerationInput:
    """A question whose answer begins with the marker of a thought, as its prompt ends with one."""
    wanted = asking("add 27 and 48", sampling_pb2.SamplingParameters(seed=7, max_output_tokens=90))
    wanted.prompt.chat.enable_thinking = True
    wanted.sampling.logit_bias[THOUGHT] = 100.0
    if budget is not None:
        wanted.sampling.thinking_budget = budget
    return wanted


THOUGHT = 100
"""The bundled model's token that begins a thought."""


@pytest.mark.parametrize("budget", [0, 1, 5, 63, 64, 65])
def test_no_thought_is_longer_than_its_budget(server: ServerProcess, budget: int) -> None:
    answer = generate(server, thoughtful(budget))
    assert answer.usage.thinking_tokens <= budget
    assert generate(server, thoughtful(None)).usage.thinking_tokens > budget


def test_a_budget_that_is_not_used_up_changes_nothing(server: ServerProcess) -> None:
    wanted = asking(REVERSE)
    free = generate(server, wanted).token_ids
    wanted.sampling.thinking_budget = 30
    assert generate(server, wanted).token_ids == free


def test_a_budget_above_the_answer_is_refused(server: ServerProcess) -> None:
    wanted = thoughtful(91)
    reason = "91 is outside 0 to 90, max_output_tokens"
    assert_refused(server, wanted, "input.sampling.thinking_budget", reason)
