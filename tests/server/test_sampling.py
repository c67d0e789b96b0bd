"""Every sampling control on a real server: it acts, and it acts as the contract says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
from calls import COUNT, REVERSE, TOKENS, asking, generate, stream
from server_process import ServerProcess

from palimpsest.engine.training.export import END_TOKENS
from palimpsest.v1 import canvas_pb2, generation_pb2, sampling_pb2

Answer = generation_pb2.GenerateResponse
UNSURE = "tell me what you feel when the sea is grey and nobody is there"
"""Nothing that the model was taught: its logits are weak, so that a small hand on them shows."""
ENDLESS: dict[str, Any] = {"banned_token_ids": END_TOKENS, "max_denoising_steps": 4}


def answered(server: ServerProcess, fields: Mapping[str, object], question: str = COUNT) -> Answer:
    sampling = sampling_pb2.SamplingParameters(seed=7, max_output_tokens=128)
    sampling.MergeFrom(sampling_pb2.SamplingParameters(**fields))  # type: ignore[arg-type]
    return generate(server, asking(question, sampling))


@pytest.fixture(scope="module")
def usual(server: ServerProcess) -> Answer:
    """The answer that no control has touched."""
    return answered(server, {})


@pytest.mark.parametrize("bound", [{"top_k": 1}, {"top_p": 1e-6}, {"min_p": 1.0}])
def test_a_draw_from_one_token_is_the_greedy_draw(
    server: ServerProcess, bound: dict[str, float]
) -> None:
    hot = {**ENDLESS, "temperature": 50.0, "entropy_bound": 1e6}
    greedy = answered(server, {**hot, "temperature": 0.0}, UNSURE)
    assert answered(server, hot, UNSURE).token_ids != greedy.token_ids
    assert answered(server, {**hot, **bound}, UNSURE).token_ids == greedy.token_ids


@pytest.mark.parametrize("bound", [{"top_k": 512}, {"top_p": 1.0}, {"min_p": 0.0}])
def test_a_bound_that_keeps_all_tokens_changes_nothing(
    server: ServerProcess, usual: Answer, bound: dict[str, float]
) -> None:
    assert answered(server, bound).token_ids == usual.token_ids


def test_a_banned_token_is_not_in_the_answer(server: ServerProcess, usual: Answer) -> None:
    banned = usual.token_ids[0]
    assert banned not in answered(server, {"banned_token_ids": [banned]}).token_ids


def test_only_allowed_tokens_are_in_the_answer(server: ServerProcess, usual: Answer) -> None:
    allowed = list(usual.token_ids[:2])
    assert set(answered(server, {"allowed_token_ids": allowed}).token_ids) <= set(allowed)


def test_a_large_bias_makes_a_token_the_answer(server: ServerProcess, usual: Answer) -> None:
    token = usual.token_ids[0]
    biased = answered(server, {"logit_bias": {token: 100.0}, "max_output_tokens": 20}, REVERSE)
    assert list(biased.token_ids) == [token] * 20


@pytest.mark.parametrize(
    "penalty", [{"presence_penalty": 2.0}, {"frequency_penalty": 2.0}, {"repetition_penalty": 10.0}]
)
def test_a_penalty_on_what_is_committed_changes_later_canvases_alone(
    server: ServerProcess, penalty: dict[str, float]
) -> None:
    usual = answered(server, ENDLESS, UNSURE)
    penalised = answered(server, {**ENDLESS, **penalty}, UNSURE)
    assert usual.usage.canvases > 1
    if "repetition_penalty" not in penalty:
        # the prompt counts for that one alone
        assert penalised.token_ids[:64] == usual.token_ids[:64]
    assert penalised.token_ids != usual.token_ids


def test_a_stop_token_ends_the_answer_before_it(server: ServerProcess, usual: Answer) -> None:
    stop = usual.token_ids[40]
    stopped = answered(server, {"stop_token_ids": [stop]})
    first = list(usual.token_ids).index(stop)
    assert stopped.token_ids == usual.token_ids[:first]
    assert stopped.finish_reason == generation_pb2.FINISH_REASON_STOP_SEQUENCE


@pytest.mark.parametrize("count", [0, 1, 5])
def test_log_probabilities_come_for_every_token_with_as_many_others_as_asked_for(
    server: ServerProcess, usual: Answer, count: int
) -> None:
    told = answered(server, {"logprobs": count})
    assert told.token_ids == usual.token_ids
    assert len(told.logprobs) == len(told.token_ids)
    for token, position in zip(told.token_ids, told.logprobs, strict=True):
        assert position.logprob <= 0.0
        assert len(position.top) == count
        values = [top.logprob for top in position.top]
        assert values == sorted(values, reverse=True)
        if count:
            assert sum(map(math.exp, values)) <= 1.0 + 1e-5
            # drafts are the most probable tokens
            assert (position.top[0].token_id, values[0]) == (token, position.logprob)


def test_log_probabilities_are_not_sent_unless_asked_for(usual: Answer) -> None:
    assert not usual.logprobs


def test_log_probabilities_come_with_the_commit_of_their_canvas(server: ServerProcess) -> None:
    sampling = sampling_pb2.SamplingParameters(seed=7, logprobs=0, max_output_tokens=100)
    commits = [e.commit for e in stream(server, asking(COUNT, sampling)) if e.HasField("commit")]
    assert [len(commit.logprobs) for commit in commits] == [64, 36]


def test_the_entropy_of_a_draft_comes_for_every_position(server: ServerProcess) -> None:
    preview = canvas_pb2.PreviewOptions(mode=TOKENS, include_entropy=True, max_rate_hz=1000)
    events = stream(server, asking(REVERSE), preview)
    shown = [e.snapshot for e in events if e.HasField("snapshot")]
    for snapshot in shown:
        mean = sum(snapshot.keyframe.entropy) / 255 / len(snapshot.keyframe.entropy)
        # a byte holds a 255th of the highest entropy
        assert mean * math.log(512) == pytest.approx(snapshot.mean_entropy, abs=math.log(512) / 510)


def test_a_low_effort_takes_no_more_steps_than_a_high_one(server: ServerProcess) -> None:
    low, high = (
        answered(server, {"effort": effort}, UNSURE).usage.denoising_steps
        for effort in (sampling_pb2.EFFORT_LOW, sampling_pb2.EFFORT_HIGH)
    )
    assert low < high
