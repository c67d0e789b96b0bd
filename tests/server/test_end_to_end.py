"""A real server with the bundled model: answers and previews over the wire."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from calls import COUNT, REVERSE, TOKENS, asking, chat, generate, kinds, stream
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from server_process import ServerProcess

from palimpsest.v1 import canvas_pb2, generation_pb2, model_pb2, prompt_pb2, sampling_pb2


def test_a_stream_starts_shows_drafts_commits_and_completes(server: ServerProcess) -> None:
    preview = canvas_pb2.PreviewOptions(
        mode=TOKENS, include_confidence=True, include_accepted_mask=True, include_token_texts=True
    )
    events = list(stream(server, asking(COUNT), preview))
    # a reader that is slow may miss all drafts of an answer
    while "snapshot" not in kinds(events):
        events = list(stream(server, asking(COUNT), preview))
    assert kinds(events)[0] == "started"
    assert kinds(events)[-1] == "completed"
    assert [e.sequence for e in events] == sorted({e.sequence for e in events})

    length = events[0].started.canvas_length
    keyframes = [e.snapshot.keyframe for e in events if e.HasField("snapshot")]
    assert {len(keyframe.token_ids) for keyframe in keyframes} == {length}
    assert {len(keyframe.confidence) for keyframe in keyframes} == {length}
    assert {len(keyframe.accepted_mask) for keyframe in keyframes} == {length // 8}
    assert {len(keyframe.token_texts) for keyframe in keyframes} == {length}


def test_the_text_deltas_joined_are_the_whole_answer(server: ServerProcess) -> None:
    commits = [e.commit for e in stream(server, asking(COUNT)) if e.HasField("commit")]
    answer = generate(server, asking(COUNT))
    assert len(commits) > 1
    assert "".join(commit.text_delta for commit in commits) == answer.text
    assert [token for commit in commits for token in commit.token_ids] == list(answer.token_ids)
    assert [commit.canvas_index for commit in commits] == list(range(len(commits)))


def test_no_snapshot_of_a_canvas_follows_its_commit(server: ServerProcess) -> None:
    preview = canvas_pb2.PreviewOptions(mode=canvas_pb2.PREVIEW_MODE_METADATA, max_rate_hz=1_000)
    committed = -1
    for event in stream(server, asking(COUNT), preview):
        if event.HasField("commit"):
            committed = event.commit.canvas_index
        if event.HasField("snapshot"):
            assert event.snapshot.canvas_index > committed
            assert event.snapshot.WhichOneof("content") is None


def test_one_seed_gives_the_same_bytes_every_time(server: ServerProcess) -> None:
    answers = {
        (*e.commit.token_ids, e.commit.text_delta)
        for _ in range(10)
        for e in stream(server, asking(REVERSE))
        if e.HasField("commit")
    }
    assert len(answers) == 1


def test_a_seed_that_the_server_draws_is_told_and_gives_the_same_answer(
    server: ServerProcess,
) -> None:
    unseeded = sampling_pb2.SamplingParameters(max_output_tokens=64)
    first, second = (generate(server, asking(REVERSE, unseeded)) for _ in range(2))
    assert first.seed != second.seed
    seeded = sampling_pb2.SamplingParameters(max_output_tokens=64, seed=first.seed)
    again = generate(server, asking(REVERSE, seeded))
    assert (again.token_ids, again.seed) == (first.token_ids, first.seed)


def test_text_previews_are_text(server: ServerProcess) -> None:
    preview = canvas_pb2.PreviewOptions(mode=canvas_pb2.PREVIEW_MODE_TEXT)
    contents: set[str | None] = set()
    # a reader that is slow may miss all drafts of an answer
    while not contents:
        events = stream(server, asking(COUNT), preview)
        contents = {e.snapshot.WhichOneof("content") for e in events if e.HasField("snapshot")}
    assert contents == {"text"}


def test_a_commit_tells_how_its_last_step_went(server: ServerProcess) -> None:
    (commit,) = (e.commit for e in stream(server, asking(REVERSE)) if e.HasField("commit"))
    assert commit.converged
    assert commit.timing.step_micros > 0
    assert commit.timing.batch_size == 1
    assert commit.mean_entropy < 0.005
    assert commit.denoise_duration.ToMicroseconds() >= commit.timing.step_micros * commit.steps / 2


def test_the_counts_and_speeds_of_an_answer_add_up(server: ServerProcess) -> None:
    answer = generate(server, asking(COUNT))
    usage, speeds = answer.usage, answer.speeds
    assert usage.output_tokens == len(answer.token_ids)
    assert speeds.steps_per_canvas == pytest.approx(usage.denoising_steps / usage.canvases)
    assert speeds.tokens_per_forward == pytest.approx(usage.output_tokens / usage.denoising_steps)
    assert speeds.effective_tokens_per_second >= speeds.output_tokens_per_second > 0
    first_draft = speeds.time_to_first_draft.ToNanoseconds()
    assert 0 < first_draft < speeds.time_to_first_commit.ToNanoseconds()


@pytest.mark.parametrize("limit", [1, 5, 65])
def test_an_answer_is_cut_at_exactly_the_tokens_asked_for(
    server: ServerProcess, limit: int
) -> None:
    sampling = sampling_pb2.SamplingParameters(seed=7, max_output_tokens=limit)
    answer = generate(server, asking(COUNT, sampling))
    assert len(answer.token_ids) == limit
    assert answer.finish_reason == generation_pb2.FINISH_REASON_LENGTH


def test_an_answer_ends_with_the_context_at_the_latest(server: ServerProcess) -> None:
    model = server.stub.GetModel(model_pb2.GetModelRequest()).model
    room = model.canvas_length + 1
    ids = [5] * (model.max_context_tokens - room)
    prompt = prompt_pb2.Prompt(tokens=prompt_pb2.TokenPrompt(token_ids=ids))
    sampling = sampling_pb2.SamplingParameters(
        seed=7, max_output_tokens=10_000, max_denoising_steps=1
    )
    answer = generate(server, asking(prompt, sampling))
    assert answer.usage.prompt_tokens == len(ids)
    assert len(answer.token_ids) <= room


def test_counting_tokens_is_what_generation_counts(server: ServerProcess) -> None:
    request = model_pb2.CountTokensRequest(prompt=chat(REVERSE))
    counted = server.stub.CountTokens(request).token_count
    assert counted == generate(server, asking(REVERSE)).usage.prompt_tokens


def test_the_model_is_described_and_listed(server: ServerProcess) -> None:
    model = server.stub.GetModel(model_pb2.GetModelRequest()).model
    assert list(server.stub.ListModels(model_pb2.ListModelsRequest()).models) == [model]
    assert model.canvas_length == 64
    assert model.max_context_tokens >= 2 * model.canvas_length
    assert model.parameter_count > 1_000_000
    assert model.defaults.max_denoising_steps > 0
    assert not model.defaults.HasField("seed")


def test_the_callers_request_id_is_echoed_and_logged(server: ServerProcess) -> None:
    asked = asking(REVERSE)
    asked.request_id = "invoice-17"
    assert generate(server, asked).request_id == "invoice-17"
    (line,) = (line for line in server.log.splitlines() if "request_id=invoice-17 " in line)
    assert "status=OK" in line
    assert "prompt_tokens=" in line
    assert "output_tokens=" in line


def test_prompts_and_answers_are_not_logged(server: ServerProcess) -> None:
    answer = generate(server, asking(REVERSE)).text
    assert REVERSE not in server.log
    assert answer
    assert answer not in server.log


def test_the_server_process_never_loads_torch(server: ServerProcess) -> None:
    assert "libtorch" not in Path(f"/proc/{server.process.pid}/maps").read_text()


def test_reflection_lists_the_service(server: ServerProcess) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(server.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    (response,) = stub.ServerReflectionInfo(iter([request]))
    names = {service.name for service in response.list_services_response.service}
    assert {"palimpsest.v1.DiffusionService", "grpc.health.v1.Health"} <= names
