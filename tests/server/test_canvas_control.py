"""Canvases that start from given tokens, keep some of them, fill a template, or are narrower."""

from __future__ import annotations

from random import Random

import grpc
import pytest
from calls import COUNT, REVERSE, asking, details_of, generate, stream
from server_process import ServerProcess

from palimpsest.v1 import canvas_pb2, generation_pb2, sampling_pb2

Control = canvas_pb2.CanvasControl


def asked(
    control: Control, question: str = REVERSE, **sampling: int
) -> generation_pb2.GenerationInput:
    parameters = sampling_pb2.SamplingParameters(seed=7)
    parameters.MergeFrom(sampling_pb2.SamplingParameters(**sampling))  # type: ignore[arg-type]
    wanted = asking(question, parameters)
    wanted.canvas.CopyFrom(control)
    return wanted


def template(*spans: str | int) -> Control:
    made = [
        canvas_pb2.TemplateSpan(literal=span)
        if isinstance(span, str)
        else canvas_pb2.TemplateSpan(free=canvas_pb2.FreeSpan(token_count=span))
        for span in spans
    ]
    return Control(template=canvas_pb2.CanvasTemplate(spans=made))


LITERALS = ('{"name": "', '", "age": ', "}\n", "Answer: ", "<turn|>", "naïve ☂ ", "a b  c", "1")


def test_the_literals_of_a_hundred_templates_come_out_byte_for_byte(server: ServerProcess) -> None:
    random = Random(0)
    for _ in range(100):
        literals = random.choices(LITERALS, k=random.randint(1, 4))
        spans = [part for literal in literals for part in (literal, random.randint(1, 20))]
        text = generate(server, asked(template(*spans))).text
        for literal in literals:
            assert literal in text, (spans, text)
            text = text[text.index(literal) + len(literal) :]


def test_the_model_fills_the_gap_with_what_it_would_answer(server: ServerProcess) -> None:
    answer = generate(server, asked(Control())).text
    filled = generate(server, asked(template(answer[:2], 10)))
    assert filled.text == answer
    assert filled.finish_reason == generation_pb2.FINISH_REASON_STOP


def test_a_template_may_be_longer_than_a_canvas(server: ServerProcess) -> None:
    long = "0123456789 " * 12
    wanted = asked(template(long, 5, long), max_output_tokens=300)
    commits = [e.commit for e in stream(server, wanted) if e.HasField("commit")]
    text = "".join(commit.text_delta for commit in commits)
    assert len(commits) > 2
    assert text.startswith(long)
    assert text.endswith(long)


def test_pinned_tokens_stay_and_the_others_are_written(server: ServerProcess) -> None:
    usual = list(generate(server, asked(Control())).token_ids)
    start = [*usual[:3], 70, 70]
    kept = asked(Control(starting_token_ids=start, pinned_positions=[0, 2, 4]))
    written = generate(server, kept).token_ids
    assert [written[i] for i in (0, 2, 4)] == [start[i] for i in (0, 2, 4)]
    free = asked(Control(starting_token_ids=start))
    assert list(generate(server, free).token_ids) == usual


def test_a_canvas_that_starts_with_the_answer_needs_fewer_steps(server: ServerProcess) -> None:
    question = "sort the letters: palimpsest"
    cold = generate(server, asked(Control(), question))
    warm = asked(Control(starting_token_ids=cold.token_ids), question)
    again = generate(server, warm)
    assert again.text == cold.text
    assert again.usage.denoising_steps <= cold.usage.denoising_steps


def test_a_read_only_answer_is_one_canvas(server: ServerProcess) -> None:
    answer = generate(server, asked(Control(read_only=True), COUNT))
    assert answer.usage.canvases == 1
    assert len(answer.token_ids) == 64
    assert answer.finish_reason == generation_pb2.FINISH_REASON_LENGTH
    assert generate(server, asked(Control(), COUNT)).token_ids[:64] == answer.token_ids


@pytest.mark.parametrize("length", [1, 24, 63, 64])
def test_narrower_canvases_make_up_the_answer(server: ServerProcess, length: int) -> None:
    events = list(
        stream(server, asked(Control(canvas_length=length), max_output_tokens=3 * length))
    )
    commits = [e.commit for e in events if e.HasField("commit")]
    assert events[0].started.canvas_length == length
    assert all(len(commit.token_ids) <= length for commit in commits)
    assert all(len(commit.token_ids) == length for commit in commits[:-1])


def test_a_narrow_answer_is_taken_up_where_its_stream_broke(server: ServerProcess) -> None:
    wanted = asked(Control(canvas_length=24), COUNT, max_output_tokens=100)
    commits = [e.commit for e in stream(server, wanted) if e.HasField("commit")]
    request = generation_pb2.StreamGenerateRequest(input=wanted)
    request.resume.first_canvas_index = 2
    for commit in commits[:2]:
        request.resume.committed_token_ids.extend(commit.token_ids)
    rest = [e.commit for e in server.stub.StreamGenerate(request) if e.HasField("commit")]
    assert [list(c.token_ids) for c in rest] == [list(c.token_ids) for c in commits[2:]]


@pytest.mark.parametrize(
    ("control", "field", "message"),
    [
        (Control(canvas_length=0), "canvas_length", "0 is outside 1 to 64"),
        (Control(canvas_length=65), "canvas_length", "65 is outside 1 to 64"),
        (Control(starting_token_ids=[512]), "starting_token_ids", "512 is outside 0 to 511"),
        (
            Control(starting_token_ids=[5] * 600),
            "starting_token_ids",
            "600 positions are more than 512, max_output_tokens",
        ),
        (
            Control(starting_token_ids=[5] * 65, read_only=True),
            "starting_token_ids",
            "65 positions are more than 64, one canvas",
        ),
        (
            Control(starting_token_ids=[5, 6], pinned_positions=[1, 1]),
            "pinned_positions",
            "1 is not above the position before it and below 2, the number of starting_token_ids",
        ),
        (
            Control(pinned_positions=[0]),
            "pinned_positions",
            "0 is not above the position before it and below 0, the number of starting_token_ids",
        ),
        (template("all literal"), "template.spans", "have no gap"),
        (template("a", 0), "template.spans[1].free.token_count", "0 is outside 1 to 262144"),
        (template(600), "template", "600 positions are more than 512, max_output_tokens"),
        (
            Control(template=template("a", 3).template, starting_token_ids=[5]),
            "template",
            "cannot be together with starting_token_ids or pinned_positions",
        ),
    ],
)
def test_a_bad_canvas_is_refused_by_field_value_and_bound(
    server: ServerProcess, control: Control, field: str, message: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        generate(server, asked(control, max_output_tokens=512))
    status = details_of(caught.value)
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert status.message == f"input.canvas.{field}: {message}"


def test_an_answer_by_a_template_is_not_resumed(server: ServerProcess) -> None:
    request = generation_pb2.StreamGenerateRequest(input=asked(template("a", 200)))
    request.resume.first_canvas_index = 1
    request.resume.committed_token_ids.extend([70] * 64)
    with pytest.raises(grpc.RpcError) as caught:
        list(server.stub.StreamGenerate(request))
    assert details_of(caught.value).message == (
        "resume.first_canvas_index: an answer by a template is not resumed, it starts over"
    )
