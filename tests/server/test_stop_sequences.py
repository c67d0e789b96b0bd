"""A real server ends answers before their stop sequences, wherever the canvases' borders lie."""

from __future__ import annotations

import grpc
import pytest
from calls import COUNT, REVERSE, Event, asking, details_of, found, generate, kinds, stream
from google.rpc import error_details_pb2
from otlp_receiver import attributes, receiving
from server_process import ServerProcess, Start, endless_model

from palimpsest.server import span_names as names
from palimpsest.v1 import canvas_pb2, generation_pb2, sampling_pb2

STOP_SEQUENCE = generation_pb2.FINISH_REASON_STOP_SEQUENCE
BOS = 2
"""The end token of the endless model, which it never writes."""


def sampling(*stop: str, **more: int) -> sampling_pb2.SamplingParameters:
    return sampling_pb2.SamplingParameters(seed=7, stop_sequences=stop, **more)  # type: ignore[arg-type]


def commits(events: list[Event]) -> list[canvas_pb2.CanvasCommit]:
    return [event.commit for event in events if event.HasField("commit")]


def text_of(events: list[Event]) -> str:
    return "".join(commit.text_delta for commit in commits(events))


@pytest.fixture(scope="module")
def whole(server: ServerProcess) -> list[Event]:
    """Two canvases and their end, without stop sequences."""
    events = list(stream(server, asking(COUNT, sampling())))
    assert len(commits(events)) == 2
    return events


@pytest.fixture(scope="module")
def straddling(whole: list[Event]) -> str:
    """Text that stands once in the answer, three characters on each side of the border."""
    first, second = commits(whole)
    sequence = first.text_delta[-3:] + second.text_delta[:3]
    assert text_of(whole).find(sequence) == len(first.text_delta) - 3
    return sequence


def test_an_answer_ends_before_a_stop_sequence(server: ServerProcess, whole: list[Event]) -> None:
    *before, completed = stream(server, asking(COUNT, sampling(" 7")))
    text = text_of(whole)
    assert text_of(before) == text[: text.index(" 7")]
    assert completed.completed.finish_reason == STOP_SEQUENCE
    [commit] = commits(before)
    kept = len(commit.token_ids)
    assert list(commit.token_ids) == list(commits(whole)[0].token_ids)[:kept]
    usage = completed.completed.usage
    assert (usage.output_tokens, usage.canvases) == (kept, 1)
    assert usage.denoising_steps == commit.steps
    assert usage.prompt_tokens == before[0].started.prompt_tokens
    assert usage.cached_prompt_tokens == before[0].started.cached_prompt_tokens


def test_the_sequence_that_begins_first_ends_the_answer(
    server: ServerProcess, whole: list[Event]
) -> None:
    answer = generate(server, asking(COUNT, sampling(" 9", " 5", "never", " 7")))
    assert answer.text == text_of(whole)[: text_of(whole).index(" 5")]
    assert answer.finish_reason == STOP_SEQUENCE


def test_a_sequence_across_a_border_is_found_and_nothing_of_it_is_sent(
    server: ServerProcess, whole: list[Event], straddling: str
) -> None:
    events = list(stream(server, asking(COUNT, sampling(straddling))))
    first, second = commits(events)
    assert first.text_delta == commits(whole)[0].text_delta[:-3]
    assert first.token_ids == commits(whole)[0].token_ids
    assert (second.text_delta, list(second.token_ids)) == ("", [])
    completed = events[-1].completed
    assert completed.finish_reason == STOP_SEQUENCE
    assert completed.usage.output_tokens == len(first.token_ids)
    assert completed.usage.denoising_steps == first.steps + second.steps
    assert [event.sequence for event in events] == [1, 2, 3, 4]


def test_what_only_began_like_a_sequence_comes_with_the_next_canvas(
    server: ServerProcess, whole: list[Event], straddling: str
) -> None:
    events = list(stream(server, asking(COUNT, sampling(f"{straddling[:-1]}!"))))
    assert commits(events)[0].text_delta == commits(whole)[0].text_delta[:-3]
    assert text_of(events) == text_of(whole)
    assert events[-1].completed.finish_reason == whole[-1].completed.finish_reason
    assert events[-1].completed.usage.output_tokens == whole[-1].completed.usage.output_tokens


def test_an_answer_taken_up_at_the_border_ends_before_the_sequence_too(
    server: ServerProcess, whole: list[Event], straddling: str
) -> None:
    asked = asking(COUNT, sampling(straddling))
    tokens = commits(whole)[0].token_ids
    point = generation_pb2.ResumePoint(first_canvas_index=1, committed_token_ids=tokens)
    request = generation_pb2.StreamGenerateRequest(input=asked, resume=point)
    events = list(server.stub.StreamGenerate(request))
    [commit] = commits(events)
    assert (commit.canvas_index, commit.text_delta, list(commit.token_ids)) == (1, "", [])
    assert events[-1].completed.finish_reason == STOP_SEQUENCE
    assert events[-1].completed.usage.output_tokens == 0


def test_an_answer_whose_canvases_hold_a_sequence_is_not_taken_up(
    server: ServerProcess, whole: list[Event]
) -> None:
    point = generation_pb2.ResumePoint(
        first_canvas_index=1, committed_token_ids=commits(whole)[0].token_ids
    )
    asked = asking(COUNT, sampling("never", " 7"))
    request = generation_pb2.StreamGenerateRequest(input=asked, resume=point)
    with pytest.raises(grpc.RpcError) as caught:
        list(server.stub.StreamGenerate(request))
    status = details_of(caught.value)
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert status.message == (
        "resume: the canvases hold the stop sequence ' 7': nothing is left to resume"
    )


def test_a_draft_as_text_ends_before_a_sequence_that_it_holds(server: ServerProcess) -> None:
    preview = canvas_pb2.PreviewOptions(mode=canvas_pb2.PREVIEW_MODE_TEXT, max_rate_hz=1_000)
    drafts: list[str] = []
    # a reader that is slow may miss all drafts of an answer
    while not drafts:
        events = stream(server, asking(COUNT, sampling(" ")), preview)
        drafts += [event.snapshot.text for event in events if event.HasField("snapshot")]
    assert not any(" " in draft for draft in drafts)


def test_a_stopped_answer_frees_the_engine(
    start: Start, tmp_path_factory: pytest.TempPathFactory
) -> None:
    model = endless_model(tmp_path_factory.mktemp("model"), end_token=BOS)
    with receiving() as (receiver, endpoint):
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        flags = ("--model", str(model), "--max-num-seqs", "1", "--max-queue", "0")
        endless = start(*flags, environment=environment)
        asked = asking(COUNT, sampling(" 7", max_output_tokens=3_000))
        asked.request_id = "stopped"
        # there is one place, so that each answer needs that of the one before
        answers = [generate(endless, asked) for _ in range(3)]
        assert {answer.finish_reason for answer in answers} == {STOP_SEQUENCE}
        figures = attributes(receiver.request_span("stopped"))
        endless.stop()
    usage = answers[0].usage
    assert usage.output_tokens == len(answers[0].token_ids) < 64
    assert figures[names.GEN_AI_OUTPUT_TOKENS] == usage.output_tokens
    assert figures[names.DENOISING_STEPS] == usage.denoising_steps
    ended = [line for line in endless.log.splitlines() if "request_id=stopped " in line]
    assert all(f"status=OK prompt_tokens={usage.prompt_tokens} " in line for line in ended)
    assert all(f"output_tokens={usage.output_tokens} " in line for line in ended)


@pytest.mark.parametrize(
    ("stop", "message"),
    [
        (["x"] * 17, "17 sequences are above 16"),
        ([""], "0 bytes of sequence 0 are outside 1 to 256"),
        (["x", "y" * 257], "257 bytes of sequence 1 are outside 1 to 256"),
    ],
)
def test_sequences_out_of_bounds_are_refused_by_field_value_and_bound(
    server: ServerProcess, stop: list[str], message: str
) -> None:
    for call in (generate, lambda *a: kinds(stream(*a))):
        with pytest.raises(grpc.RpcError) as caught:
            call(server, asking(REVERSE, sampling(*stop)))
        status = details_of(caught.value)
        assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
        assert status.message == f"input.sampling.stop_sequences: {message}"
        bad = error_details_pb2.BadRequest()
        assert found(status, bad)
        assert bad.field_violations[0].field == "input.sampling.stop_sequences"
