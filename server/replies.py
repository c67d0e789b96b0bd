"""From what generation says to messages of the contract. Pure, but for what drafts remember."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from palimpsest.engine.api import FinishReason, ModelInfo, Stepped, TokenLogprobs, Usage
from palimpsest.server.candidates import candidate_seed
from palimpsest.server.drafts import DraftWriter
from palimpsest.server.exchange import (
    AnswerEvent,
    Commit,
    Completed,
    ContentKind,
    Snapshot,
    Speeds,
    Started,
)
from palimpsest.server.prompts import ToolCall
from palimpsest.server.questions import Decided, Decision
from palimpsest.server.structs import struct
from palimpsest.v1 import canvas_pb2, chat_pb2, decide_pb2, generation_pb2, model_pb2, sampling_pb2

_FINISH_REASONS = {
    FinishReason.STOP: generation_pb2.FINISH_REASON_STOP,
    FinishReason.STOP_TOKEN: generation_pb2.FINISH_REASON_STOP_SEQUENCE,
    FinishReason.LENGTH: generation_pb2.FINISH_REASON_LENGTH,
}
_KINDS = {
    ContentKind.THOUGHT: canvas_pb2.CONTENT_KIND_THOUGHT,
    ContentKind.TOOL_CALL: canvas_pb2.CONTENT_KIND_TOOL_CALL,
}


def stream_response(
    event: AnswerEvent, drafts: DraftWriter
) -> generation_pb2.StreamGenerateResponse:
    """One event of a stream, whose drafts `drafts` writes."""
    response = generation_pb2.StreamGenerateResponse(sequence=event.sequence)
    match event:
        case Started():
            response.started.CopyFrom(_started(event))
        case Snapshot():
            response.snapshot.CopyFrom(_snapshot(event, drafts))
        case Commit():
            response.commit.CopyFrom(_commit(event))
        case Completed():
            response.completed.CopyFrom(
                generation_pb2.Completed(
                    finish_reason=_finish_reason(event),
                    usage=_usage(event.usage, thinking_tokens=event.thinking_tokens),
                    speeds=_speeds(event.speeds),
                    candidate_index=event.candidate_index,
                )
            )
    return response


def whole_answer(events: Sequence[AnswerEvent]) -> generation_pb2.GenerateResponse:
    """All events of a stream as one message."""
    response = generation_pb2.GenerateResponse()
    for event in events:
        match event:
            case Started():
                response.request_id = event.request_id
                response.model = event.model.name
                response.seed = event.seed
            case Commit():
                answer = _answer(response, event.candidate_index)
                answer.text += event.text_delta
                answer.thought += event.thought_delta
                answer.tool_calls.extend(map(_tool_call, event.tool_calls))
                answer.token_ids.extend(event.canvas.token_ids)
                answer.logprobs.extend(map(_logprobs, event.canvas.logprobs))
            case Completed():
                answer = _answer(response, event.candidate_index)
                answer.finish_reason = _finish_reason(event)
                usage = _usage(event.usage, thinking_tokens=event.thinking_tokens)
                answer.usage.CopyFrom(usage)
                answer.speeds.CopyFrom(_speeds(event.speeds))
            case Snapshot():
                pass  # Not asked for in a unary call.
    return response


def _answer(
    response: generation_pb2.GenerateResponse, index: int
) -> generation_pb2.GenerateResponse | generation_pb2.Candidate:
    """Where an answer is written: the first one in the response itself."""
    if index == 0:
        return response
    more = response.more_candidates
    while len(more) < index:
        more.add(seed=candidate_seed(response.seed, len(more) + 1))
    return more[index - 1]


def decided(decided: Decided) -> decide_pb2.DecideResponse:
    """The scores of all questions."""
    return decide_pb2.DecideResponse(
        request_id=decided.request_id,
        model=decided.model.name,
        decisions=map(_decision, decided.decisions),
        seed=decided.seed,
        usage=_usage(decided.usage, thinking_tokens=0),
        duration=_duration(decided.duration_ns),
    )


def _decision(decision: Decision) -> decide_pb2.Decision:
    scores = (
        decide_pb2.LabelScore(label=label, log_probability=log_probability, probability=share)
        for label, log_probability, share in zip(
            decision.labels, decision.log_probabilities, decision.probabilities, strict=True
        )
    )
    return decide_pb2.Decision(scores=scores, best_index=decision.best_index)


def model_message(model: ModelInfo) -> model_pb2.Model:
    defaults = model.defaults
    return model_pb2.Model(
        name=model.name,
        canvas_length=model.canvas_length,
        max_context_tokens=model.max_context_tokens,
        vocabulary_size=model.vocabulary_size,
        parameter_count=model.parameter_count,
        device=model.device,
        dtype=model.dtype,
        # The seed is drawn for each request, so there is none to report.
        defaults=sampling_pb2.SamplingParameters(
            max_output_tokens=min(defaults.max_output_tokens, model.max_context_tokens),
            max_denoising_steps=defaults.max_denoising_steps,
            entropy_bound=defaults.entropy_bound,
            temperature_max=defaults.temperature_max,
            temperature_min=defaults.temperature_min,
            confidence_threshold=defaults.confidence_threshold,
            stability_threshold=defaults.stability_threshold,
            temperature=defaults.temperature,
        ),
    )


def _started(event: Started) -> generation_pb2.Started:
    return generation_pb2.Started(
        request_id=event.request_id,
        model=event.model.name,
        canvas_length=event.canvas_length,
        prompt_tokens=event.prompt_tokens,
        cached_prompt_tokens=event.cached_prompt_tokens,
        accept_time=_timestamp(event.accepted_ns),
        queue_duration=_duration(event.prefill_start_ns - event.accepted_ns),
        prefill_duration=_duration(event.prefill_end_ns - event.prefill_start_ns),
        seed=event.seed,
    )


def _snapshot(event: Snapshot, drafts: DraftWriter) -> canvas_pb2.CanvasSnapshot:
    step = event.step
    snapshot = canvas_pb2.CanvasSnapshot(
        canvas_index=step.canvas_index,
        step=step.step,
        max_denoising_steps=event.max_denoising_steps,
        timing=_timing(step),
        temperature=step.temperature,
        accepted_count=step.accepted_count,
        changed_count=step.changed_count,
        mean_entropy=step.mean_entropy,
        candidate_index=event.candidate_index,
        spans=(
            canvas_pb2.ContentSpan(kind=_KINDS[span.kind], start=span.start, length=span.length)
            for span in event.spans
        ),
    )
    drafts.write(event, snapshot)
    return snapshot


def _commit(event: Commit) -> canvas_pb2.CanvasCommit:
    canvas, step = event.canvas, event.last_step
    return canvas_pb2.CanvasCommit(
        canvas_index=canvas.canvas_index,
        steps=canvas.steps,
        converged=canvas.converged,
        token_ids=canvas.token_ids,
        text_delta=event.text_delta,
        thought_delta=event.thought_delta,
        tool_calls=map(_tool_call, event.tool_calls),
        denoise_duration=_duration(canvas.end_ns - canvas.start_ns),
        timing=_timing(step),
        temperature=step.temperature,
        accepted_count=step.accepted_count,
        changed_count=step.changed_count,
        mean_entropy=step.mean_entropy,
        logprobs=map(_logprobs, canvas.logprobs),
        candidate_index=event.candidate_index,
    )


def _logprobs(position: TokenLogprobs) -> canvas_pb2.TokenLogprobs:
    top = (canvas_pb2.TokenLogprob(token_id=id, logprob=value) for id, value in position.top)
    return canvas_pb2.TokenLogprobs(logprob=position.logprob, top=top)


def _timing(step: Stepped) -> canvas_pb2.StepTiming:
    return canvas_pb2.StepTiming(
        queue_micros=None if step.queue_ns is None else step.queue_ns // 1_000,
        step_micros=(step.end_ns - step.start_ns) // 1_000,
        device_micros=None if step.device_ns is None else step.device_ns // 1_000,
        batch_size=step.batch_size,
    )


def _tool_call(call: ToolCall) -> chat_pb2.ToolCall:
    return chat_pb2.ToolCall(id=call.id, name=call.name, arguments=struct(call.arguments))


def _finish_reason(completed: Completed) -> generation_pb2.FinishReason.ValueType:
    if completed.stopped:
        return generation_pb2.FINISH_REASON_STOP_SEQUENCE
    if completed.called_tools and completed.reason is FinishReason.STOP:
        return generation_pb2.FINISH_REASON_TOOL_CALLS
    return _FINISH_REASONS[completed.reason]


def _usage(usage: Usage, *, thinking_tokens: int) -> generation_pb2.Usage:
    return generation_pb2.Usage(
        prompt_tokens=usage.prompt_tokens,
        cached_prompt_tokens=usage.cached_prompt_tokens,
        output_tokens=usage.output_tokens,
        thinking_tokens=thinking_tokens,
        canvases=usage.canvases,
        denoising_steps=usage.denoising_steps,
    )


def _speeds(speeds: Speeds) -> generation_pb2.Speeds:
    return generation_pb2.Speeds(
        output_tokens_per_second=speeds.output_tokens_per_second,
        effective_tokens_per_second=speeds.effective_tokens_per_second,
        steps_per_canvas=speeds.steps_per_canvas,
        tokens_per_forward=speeds.tokens_per_forward,
        time_to_first_draft=_duration(speeds.time_to_first_draft_ns),
        time_to_first_commit=_duration(speeds.time_to_first_commit_ns),
    )


def _duration(nanoseconds: int) -> Duration:
    message = Duration()
    # Two processes read their clocks: a hair below zero is zero.
    message.FromNanoseconds(max(nanoseconds, 0))
    return message


def _timestamp(nanoseconds: int) -> Timestamp:
    message = Timestamp()
    message.FromNanoseconds(nanoseconds)
    return message
