"""From the messages of the contract to plain values; shared by both clients.

Events of a kind that this version does not know are skipped, as the contract allows a newer server
to send some. Knows no channel and no call.
"""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf import duration_pb2

from palimpsest.events import (
    Candidate,
    Commit,
    Completed,
    Event,
    FinishReason,
    Generation,
    Model,
    Snapshot,
    Span,
    SpanKind,
    Speeds,
    Started,
    StepFigures,
    TokenLogprobs,
    ToolCall,
    Usage,
)
from palimpsest.structs import plain
from palimpsest.v1 import canvas_pb2, chat_pb2, generation_pb2, model_pb2

FINISH_REASONS: dict[int, FinishReason] = {
    generation_pb2.FINISH_REASON_STOP: "stop",
    generation_pb2.FINISH_REASON_LENGTH: "length",
    generation_pb2.FINISH_REASON_STOP_SEQUENCE: "stop_sequence",
    generation_pb2.FINISH_REASON_TOOL_CALLS: "tool_calls",
}
SPAN_KINDS: dict[int, SpanKind] = {
    canvas_pb2.CONTENT_KIND_THOUGHT: "thought",
    canvas_pb2.CONTENT_KIND_TOOL_CALL: "tool_call",
}


def event_of(response: generation_pb2.StreamGenerateResponse) -> Event | None:
    """The event of one message of a stream; None if this version does not know its kind."""
    match response.WhichOneof("event"):
        case "started":
            return _started(response.sequence, response.started)
        case "snapshot":
            return _snapshot(response.sequence, response.snapshot)
        case "commit":
            return _commit(response.sequence, response.commit)
        case "completed":
            return Completed(
                sequence=response.sequence,
                finish_reason=FINISH_REASONS.get(response.completed.finish_reason, "other"),
                usage=usage_of(response.completed.usage),
                speeds=_speeds(response.completed.speeds),
                candidate_index=response.completed.candidate_index,
            )
        case _:
            return None


def generation_of(response: generation_pb2.GenerateResponse) -> Generation:
    """A whole answer."""
    return Generation(
        request_id=response.request_id,
        model=response.model,
        text=response.text,
        thought=response.thought,
        tool_calls=_tool_calls(response.tool_calls),
        token_ids=tuple(response.token_ids),
        finish_reason=FINISH_REASONS.get(response.finish_reason, "other"),
        usage=usage_of(response.usage),
        speeds=_speeds(response.speeds),
        seed=response.seed,
        logprobs=_logprobs(response.logprobs),
        more_candidates=tuple(map(_candidate, response.more_candidates)),
    )


def model_of(model: model_pb2.Model) -> Model:
    """A served model."""
    return Model(
        name=model.name,
        canvas_length=model.canvas_length,
        max_context_tokens=model.max_context_tokens,
        vocabulary_size=model.vocabulary_size,
        parameter_count=model.parameter_count,
        device=model.device,
        dtype=model.dtype,
        defaults={field.name: value for field, value in model.defaults.ListFields()},
    )


def _started(sequence: int, started: generation_pb2.Started) -> Started:
    return Started(
        sequence=sequence,
        request_id=started.request_id,
        model=started.model,
        canvas_length=started.canvas_length,
        prompt_tokens=started.prompt_tokens,
        cached_prompt_tokens=started.cached_prompt_tokens,
        seed=started.seed,
        queue_s=seconds_of(started.queue_duration),
        prefill_s=seconds_of(started.prefill_duration),
    )


def _snapshot(sequence: int, snapshot: canvas_pb2.CanvasSnapshot) -> Snapshot:
    # Empty unless the content is a keyframe; deltas are never asked for.
    keyframe = snapshot.keyframe
    return Snapshot(
        sequence=sequence,
        canvas_index=snapshot.canvas_index,
        step=snapshot.step,
        max_denoising_steps=snapshot.max_denoising_steps,
        figures=_figures(snapshot),
        token_ids=tuple(keyframe.token_ids),
        token_texts=tuple(keyframe.token_texts),
        confidence=_shares(keyframe.confidence),
        accepted=_bits(keyframe.accepted_mask, len(keyframe.token_ids)),
        entropy=_shares(keyframe.entropy),
        text=snapshot.text,
        thought=snapshot.thought,
        spans=tuple(
            Span(kind=SPAN_KINDS[span.kind], start=span.start, length=span.length)
            for span in snapshot.spans
            if span.kind in SPAN_KINDS
        ),
        candidate_index=snapshot.candidate_index,
    )


def _commit(sequence: int, commit: canvas_pb2.CanvasCommit) -> Commit:
    return Commit(
        sequence=sequence,
        canvas_index=commit.canvas_index,
        steps=commit.steps,
        converged=commit.converged,
        token_ids=tuple(commit.token_ids),
        text_delta=commit.text_delta,
        thought_delta=commit.thought_delta,
        tool_calls=_tool_calls(commit.tool_calls),
        denoise_s=seconds_of(commit.denoise_duration),
        figures=_figures(commit),
        logprobs=_logprobs(commit.logprobs),
        candidate_index=commit.candidate_index,
    )


def _candidate(candidate: generation_pb2.Candidate) -> Candidate:
    return Candidate(
        text=candidate.text,
        thought=candidate.thought,
        tool_calls=_tool_calls(candidate.tool_calls),
        token_ids=tuple(candidate.token_ids),
        finish_reason=FINISH_REASONS.get(candidate.finish_reason, "other"),
        usage=usage_of(candidate.usage),
        speeds=_speeds(candidate.speeds),
        seed=candidate.seed,
        logprobs=_logprobs(candidate.logprobs),
    )


def _logprobs(positions: Iterable[canvas_pb2.TokenLogprobs]) -> tuple[TokenLogprobs, ...]:
    return tuple(
        TokenLogprobs(
            logprob=position.logprob,
            top=tuple((token.token_id, token.logprob) for token in position.top),
        )
        for position in positions
    )


def _tool_calls(calls: Iterable[chat_pb2.ToolCall]) -> tuple[ToolCall, ...]:
    return tuple(
        ToolCall(id=call.id, name=call.name, arguments=plain(call.arguments)) for call in calls
    )


def _figures(message: canvas_pb2.CanvasSnapshot | canvas_pb2.CanvasCommit) -> StepFigures:
    timing = message.timing
    return StepFigures(
        step_s=timing.step_micros / 1e6,
        queue_s=timing.queue_micros / 1e6 if timing.HasField("queue_micros") else None,
        device_s=timing.device_micros / 1e6 if timing.HasField("device_micros") else None,
        batch_size=timing.batch_size,
        temperature=message.temperature,
        accepted_count=message.accepted_count,
        changed_count=message.changed_count,
        mean_entropy=message.mean_entropy,
    )


def usage_of(usage: generation_pb2.Usage) -> Usage:
    """What an answer took."""
    return Usage(**{field: getattr(usage, field) for field in Usage.__dataclass_fields__})


def _speeds(speeds: generation_pb2.Speeds) -> Speeds:
    return Speeds(
        output_tokens_per_second=speeds.output_tokens_per_second,
        effective_tokens_per_second=speeds.effective_tokens_per_second,
        steps_per_canvas=speeds.steps_per_canvas,
        tokens_per_forward=speeds.tokens_per_forward,
        time_to_first_draft_s=seconds_of(speeds.time_to_first_draft),
        time_to_first_commit_s=seconds_of(speeds.time_to_first_commit),
    )


def seconds_of(duration: duration_pb2.Duration) -> float:
    """A duration in seconds."""
    return duration.ToNanoseconds() / 1e9


def _shares(octets: bytes) -> tuple[float, ...]:
    return tuple(round(octet / 255, 3) for octet in octets)


def _bits(mask: bytes, count: int) -> tuple[bool, ...]:
    return tuple(bool(mask[i // 8] >> i % 8 & 1) for i in range(count)) if mask else ()
