"""A real server takes up answers whose stream broke; the rest is what they would have sent."""

from __future__ import annotations

import grpc
import pytest
from calls import COUNT, Event, asking, details_of, found, stream
from google.rpc import error_details_pb2
from server_process import ServerProcess, Start, endless_model

from palimpsest.v1 import canvas_pb2, generation_pb2, model_pb2, prompt_pb2, sampling_pb2

THREE_CANVASES = sampling_pb2.SamplingParameters(
    seed=7, max_output_tokens=150, max_denoising_steps=3
)
BOS = 2
"""The end token of the endless model, which it never writes."""


@pytest.fixture(scope="module")
def endless(start: Start, tmp_path_factory: pytest.TempPathFactory) -> ServerProcess:
    """A server whose answers end at their limit alone."""
    return start("--model", str(endless_model(tmp_path_factory.mktemp("model"), end_token=BOS)))


def resumed(
    server: ServerProcess, asked: generation_pb2.GenerationInput, index: int, tokens: list[int]
) -> list[Event]:
    point = generation_pb2.ResumePoint(first_canvas_index=index, committed_token_ids=tokens)
    request = generation_pb2.StreamGenerateRequest(input=asked, resume=point)
    return list(server.stub.StreamGenerate(request))


def commits(events: list[Event]) -> list[canvas_pb2.CanvasCommit]:
    """Without what depends on the clock, and figures whose last bits depend on a pass's rows."""
    found = [event.commit for event in events if event.HasField("commit")]
    for commit in found:
        commit.ClearField("timing")
        commit.ClearField("denoise_duration")
        commit.ClearField("mean_entropy")
    return found


def tokens_of(commits: list[canvas_pb2.CanvasCommit]) -> list[int]:
    return [token for commit in commits for token in commit.token_ids]


@pytest.mark.parametrize("first", [1, 2])
def test_an_answer_taken_up_after_any_canvas_goes_on_with_the_same_canvases(
    endless: ServerProcess, first: int
) -> None:
    asked = asking(COUNT, THREE_CANVASES)
    whole = list(stream(endless, asked))
    assert [len(commit.token_ids) for commit in commits(whole)] == [64, 64, 22]
    rest = resumed(endless, asked, first, tokens_of(commits(whole)[:first]))
    assert commits(rest) == commits(whole)[first:]
    assert rest[-1].completed.finish_reason == generation_pb2.FINISH_REASON_LENGTH
    assert rest[0].started.prompt_tokens == whole[0].started.prompt_tokens
    assert [event.sequence for event in rest] == list(range(1, len(rest) + 1))


def test_an_answer_that_ends_by_itself_ends_there_too(server: ServerProcess) -> None:
    whole = list(stream(server, asking(COUNT)))
    rest = resumed(server, asking(COUNT), 1, tokens_of(commits(whole)[:1]))
    assert commits(rest) == commits(whole)[1:] != []
    assert rest[-1].completed.finish_reason == whole[-1].completed.finish_reason


def test_usage_counts_what_the_call_generated(endless: ServerProcess) -> None:
    asked = asking(COUNT, THREE_CANVASES)
    whole = list(stream(endless, asked))
    rest = resumed(endless, asked, 2, tokens_of(commits(whole)[:2]))
    usage = rest[-1].completed.usage
    assert usage.prompt_tokens == whole[-1].completed.usage.prompt_tokens
    assert (usage.output_tokens, usage.canvases) == (22, 1)
    assert usage.denoising_steps == commits(rest)[0].steps


def test_taking_up_an_answer_at_its_start_is_asking_for_it(server: ServerProcess) -> None:
    whole = list(stream(server, asking(COUNT)))
    assert commits(resumed(server, asking(COUNT), 0, [])) == commits(whole)
    # so no seed is needed
    unseeded = asking(COUNT, sampling_pb2.SamplingParameters(max_output_tokens=1))
    assert resumed(server, unseeded, 0, [])[-1].HasField("completed")


@pytest.mark.parametrize(
    ("sampling", "index", "tokens", "field", "message"),
    [
        (
            sampling_pb2.SamplingParameters(),
            1,
            [5] * 64,
            "input.sampling.seed",
            "is not set: only the seed of the broken stream continues it exactly",
        ),
        (
            THREE_CANVASES,
            1,
            [5] * 63,
            "resume.committed_token_ids",
            "63 tokens are not first_canvas_index 1 times the canvas length 64, 64",
        ),
        (
            THREE_CANVASES,
            0,
            [5],
            "resume.committed_token_ids",
            "1 tokens are not first_canvas_index 0 times the canvas length 64, 0",
        ),
        (
            THREE_CANVASES,
            2**32 - 1,
            [],
            "resume.committed_token_ids",
            "0 tokens are not first_canvas_index 4294967295 times the canvas length 64, ",
        ),
        (
            THREE_CANVASES,
            1,
            [5] * 63 + [512],
            "resume.committed_token_ids",
            "512 is outside 0 to 511",
        ),
        (
            THREE_CANVASES,
            2,
            [5] * 70 + [BOS] + [5] * 57,
            "resume",
            f"token 70 is the end token {BOS}: nothing is left to resume",
        ),
        (
            sampling_pb2.SamplingParameters(seed=7, max_output_tokens=128),
            2,
            [5] * 128,
            "resume",
            "128 tokens are all that max_output_tokens 128 allows: nothing is left to resume",
        ),
    ],
)
def test_what_cannot_be_taken_up_is_refused_by_field_value_and_bound(
    endless: ServerProcess,
    sampling: sampling_pb2.SamplingParameters,
    index: int,
    tokens: list[int],
    field: str,
    message: str,
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        resumed(endless, asking(COUNT, sampling), index, tokens)
    status = details_of(caught.value)
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert status.message.startswith(f"{field}: {message}")
    bad = error_details_pb2.BadRequest()
    assert found(status, bad)
    assert [violation.field for violation in bad.field_violations] == [field]


def test_an_answer_that_ended_with_the_context_is_not_taken_up(endless: ServerProcess) -> None:
    model = endless.stub.GetModel(model_pb2.GetModelRequest()).model
    length = model.max_context_tokens - 2 * model.canvas_length + 1
    prompt = prompt_pb2.Prompt(tokens=prompt_pb2.TokenPrompt(token_ids=[5] * length))
    asked = asking(prompt, THREE_CANVASES)
    whole = commits(list(stream(endless, asked)))
    assert len(whole) == 1
    with pytest.raises(grpc.RpcError) as caught:
        resumed(endless, asked, 1, tokens_of(whole))
    assert details_of(caught.value).message == (
        f"resume: {length} tokens of the prompt, 64 of the answer and one canvas of 64 are more "
        f"than the context of {model.max_context_tokens} tokens: nothing is left to resume"
    )
