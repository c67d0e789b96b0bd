"""From the engine's events to an answer's: text, thoughts and calls of drafts and of commits."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from palimpsest.engine.api import (
    Committed,
    Draft,
    Finished,
    FinishReason,
    ModelInfo,
    Sampling,
    Stepped,
    Submit,
    TextCodec,
    Usage,
    checkpoint_folder,
)
from palimpsest.engine.capacity import Capacity
from palimpsest.server import replies
from palimpsest.server.answer import AnswerWriter
from palimpsest.server.call import Call
from palimpsest.server.drafts import DraftWriter
from palimpsest.server.exchange import (
    AnswerEvent,
    Commit,
    Completed,
    Generation,
    Preview,
    PreviewMode,
)
from palimpsest.server.mailbox import Delivery, Pace
from palimpsest.server.prompts import ChatMessage, ChatPrompt, Prompt, TokenPrompt, ToolCall
from palimpsest.v1 import canvas_pb2, generation_pb2

SAMPLING = Sampling(max_output_tokens=64, seed=0)
MODEL = ModelInfo(
    name="palimpsest-tiny",
    canvas_length=64,
    max_context_tokens=4096,
    vocabulary_size=512,
    end_token_ids=(1, 106, 50),
    parameter_count=1,
    sees=False,
    device="cpu",
    dtype="float32",
    defaults=SAMPLING,
    capacity=Capacity(pages={None: 64}, cache_bytes=0),
)
THINKING = "<|channel>thought\nI need it.\n<channel|>Let me see."
CALLING = '<|tool_call>call:weather{city:<|"|>Oslo<|"|>,days:2}<tool_call|>'


@pytest.fixture(scope="module")
def codec() -> TextCodec:
    return TextCodec(checkpoint_folder("bundled"))


def preview(mode: PreviewMode) -> Preview:
    return Preview(mode=mode, pace=Pace(every_n_steps=1, max_rate_hz=100.0), token_texts=True)


def writer(
    codec: TextCodec,
    mode: PreviewMode | None = None,
    prompt: Prompt | None = None,
    committed: Sequence[int] = (),
) -> AnswerWriter:
    wanted = Generation(
        model="",
        prompt=prompt or TokenPrompt(token_ids=(2,)),
        sampling={},
        preview=None if mode is None else preview(mode),
    )
    submit = Submit(
        request_id=1,
        prompt_ids=(2,),
        sampling=SAMPLING,
        drafts=mode is not None,
        committed_ids=tuple(committed),
    )
    call = Call(method="test", request_id="r", time_limit_s=1.0, trace=None)
    return AnswerWriter(wanted, submit, MODEL, call.answer(), codec)


def stepped(token_ids: Sequence[int] = ()) -> Stepped:
    return Stepped(
        request_id=1,
        canvas_index=0,
        step=1,
        start_ns=0,
        end_ns=1,
        batch_size=1,
        temperature=0.8,
        accepted_count=1,
        changed_count=1,
        mean_entropy=1.0,
        draft=Draft(token_ids=tuple(token_ids), confidence=b"", accepted_mask=b"", entropy=b""),
    )


def snapshot(codec: TextCodec, mode: PreviewMode, ids: Sequence[int]) -> canvas_pb2.CanvasSnapshot:
    event = writer(codec, mode).write(Delivery(sequence=1, event=stepped(ids)))
    return replies.stream_response(event, DraftWriter(preview(mode))).snapshot


def answer(
    writer: AnswerWriter, canvases: Sequence[Sequence[int]], reason: FinishReason
) -> list[AnswerEvent]:
    """The events of an answer of these canvases."""
    last = len(canvases) - 1
    deliveries = [
        Delivery(
            sequence=index + 1,
            event=Committed(
                request_id=1,
                canvas_index=index,
                steps=1,
                converged=True,
                token_ids=tuple(canvas),
                start_ns=0,
                end_ns=1,
            ),
            last_step=stepped(),
            final=index == last,
        )
        for index, canvas in enumerate(canvases)
    ]
    usage = Usage(
        prompt_tokens=1,
        output_tokens=sum(map(len, canvases)),
        cached_prompt_tokens=0,
        canvases=len(canvases),
        denoising_steps=len(canvases),
    )
    end = Finished(request_id=1, reason=reason, usage=usage)
    deliveries.append(Delivery(sequence=last + 2, event=end))
    return [writer.write(delivery) for delivery in deliveries]


async def test_a_text_draft_stops_at_the_first_end_token(codec: TextCodec) -> None:
    ids = (*codec.encode("savnac"), 106, *codec.encode("noise behind the end"))
    assert snapshot(codec, PreviewMode.TEXT, ids).text == "savnac"


async def test_a_text_draft_tells_its_thought_from_its_text(codec: TextCodec) -> None:
    shown = snapshot(codec, PreviewMode.TEXT, codec.encode(THINKING + CALLING))
    assert (shown.thought, shown.text) == ("I need it.", "Let me see.")


async def test_a_token_draft_says_where_thought_and_call_stand(codec: TextCodec) -> None:
    thinking, calling = codec.encode(THINKING), codec.encode(CALLING)
    shown = snapshot(codec, PreviewMode.TOKENS, (*thinking, *calling, 50, 100, 5))
    thought_end = thinking.index(101) + 1
    assert [(span.kind, span.start, span.length) for span in shown.spans] == [
        (canvas_pb2.CONTENT_KIND_THOUGHT, 0, thought_end),
        (canvas_pb2.CONTENT_KIND_TOOL_CALL, len(thinking), len(calling)),
    ]
    assert len(shown.keyframe.token_texts) == len(thinking) + len(calling) + 3


async def test_a_stream_carries_thought_text_and_calls_apart(codec: TextCodec) -> None:
    ids = codec.encode(THINKING + CALLING)
    canvases = [ids[:9], ids[9:40], ids[40:]]
    events = answer(writer(codec), canvases, FinishReason.STOP)
    drafts = DraftWriter(None)
    messages = [replies.stream_response(event, drafts) for event in events]
    commits = [message.commit for message in messages if message.HasField("commit")]
    assert "".join(commit.thought_delta for commit in commits) == "I need it."
    assert "".join(commit.text_delta for commit in commits) == "Let me see."
    assert [token for commit in commits for token in commit.token_ids] == ids
    assert [len(commit.tool_calls) for commit in commits] == [0, 0, 1]
    [call] = commits[-1].tool_calls
    assert (call.id, call.name, dict(call.arguments)) == (
        "call_0",
        "weather",
        {"city": "Oslo", "days": 2},
    )
    completed = messages[-1].completed
    assert completed.finish_reason == generation_pb2.FINISH_REASON_TOOL_CALLS
    assert completed.usage.thinking_tokens == ids.index(101) + 1
    assert completed.usage.output_tokens == len(ids)


async def test_a_whole_answer_has_what_its_stream_has(codec: TextCodec) -> None:
    ids = codec.encode(THINKING + CALLING + CALLING)
    whole = replies.whole_answer(answer(writer(codec), [ids], FinishReason.STOP))
    assert (whole.thought, whole.text) == ("I need it.", "Let me see.")
    assert [call.id for call in whole.tool_calls] == ["call_0", "call_1"]
    assert whole.finish_reason == generation_pb2.FINISH_REASON_TOOL_CALLS
    assert list(whole.token_ids) == ids


@pytest.mark.parametrize(
    ("written", "reason", "expected"),
    [
        ("savnac", FinishReason.STOP, generation_pb2.FINISH_REASON_STOP),
        (CALLING, FinishReason.LENGTH, generation_pb2.FINISH_REASON_LENGTH),
        (CALLING[:20], FinishReason.LENGTH, generation_pb2.FINISH_REASON_LENGTH),
        ("<|tool_call>call:f<tool_call|>", FinishReason.STOP, generation_pb2.FINISH_REASON_STOP),
    ],
)
async def test_an_answer_ends_in_tool_calls_only_if_it_has_calls_and_is_whole(
    codec: TextCodec,
    written: str,
    reason: FinishReason,
    expected: generation_pb2.FinishReason.ValueType,
) -> None:
    whole = replies.whole_answer(answer(writer(codec), [codec.encode(written)], reason))
    assert whole.finish_reason == expected


async def test_a_thought_that_never_ends_leaves_no_text(codec: TextCodec) -> None:
    ids = codec.encode("<|channel>thought\nI count")
    whole = replies.whole_answer(answer(writer(codec), [ids], FinishReason.LENGTH))
    assert (whole.thought, whole.text) == ("I count", "")
    assert whole.usage.thinking_tokens == whole.usage.output_tokens == len(ids)


async def test_calls_get_ids_that_the_conversation_does_not_use(codec: TextCodec) -> None:
    made = ToolCall(id="call_0", name="f", arguments={})
    history = (
        ChatMessage(role="assistant", content="", tool_calls=(made,)),
        ChatMessage(role="tool", content="1", answers=made),
    )
    writing = writer(codec, prompt=ChatPrompt(messages=history))
    whole = replies.whole_answer(answer(writing, [codec.encode(CALLING)], FinishReason.STOP))
    assert [call.id for call in whole.tool_calls] == ["call_1"]


def told(events: Sequence[AnswerEvent]) -> list[tuple[str, str, tuple[ToolCall, ...]]]:
    """Text, thought and calls of each commit."""
    return [
        (event.text_delta, event.thought_delta, event.tool_calls)
        for event in events
        if isinstance(event, Commit)
    ]


async def test_an_answer_taken_up_anywhere_goes_on_as_if_it_had_never_broken(
    codec: TextCodec,
) -> None:
    written = f"naïve 🙂{THINKING}{CALLING}日本{THINKING}{CALLING}é"
    ids = codec.encode(written)
    # in the middle of characters, markers, labels, thoughts and calls
    assert len(codec.encode("🙂")) == 4
    for at in range(1, len(ids)):
        rest = [ids[at : at + 7], ids[at + 7 :]]
        *_, ended = whole = answer(writer(codec), [ids[:at], *rest], FinishReason.STOP)
        *_, resumed_ended = resumed = answer(
            writer(codec, committed=ids[:at]), rest, FinishReason.STOP
        )
        assert told(resumed) == told(whole)[1:]
        assert isinstance(ended, Completed)
        assert isinstance(resumed_ended, Completed)
        assert (resumed_ended.reason, resumed_ended.called_tools) == (ended.reason, True)


async def test_thinking_tokens_are_counted_from_where_the_answer_is_taken_up(
    codec: TextCodec,
) -> None:
    ids = codec.encode(THINKING)
    thought = ids.index(101) + 1
    *_, ended = answer(writer(codec, committed=ids[:3]), [ids[3:]], FinishReason.STOP)
    assert isinstance(ended, Completed)
    assert ended.thinking_tokens == thought - 3
