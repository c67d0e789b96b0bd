"""From one request's engine events to its answer's: adds what its tokens say. Knows no wire."""

from __future__ import annotations

from dataclasses import replace

from palimpsest.engine.api import (
    Committed,
    Encoded,
    Finished,
    FinishReason,
    ModelInfo,
    Scored,
    Stepped,
    Submit,
    TextCodec,
    Usage,
)
from palimpsest.server.answer_record import AnswerRecord
from palimpsest.server.exchange import (
    AnswerEvent,
    Commit,
    Completed,
    Generation,
    PreviewMode,
    Snapshot,
    Started,
)
from palimpsest.server.mailbox import Delivery
from palimpsest.server.prompts import ChatPrompt, Prompt
from palimpsest.server.reading import Reader


class AnswerWriter:
    """Turns the engine's events of one request into its answer's, in their order.

    Canvases that came with the request have been told: they are read, and nothing is said of them.
    """

    def __init__(
        self,
        wanted: Generation,
        submit: Submit,
        model: ModelInfo,
        record: AnswerRecord,
        codec: TextCodec,
    ) -> None:
        self._preview = wanted.preview
        self._submit = submit
        self._model = model
        self._record = record
        self._codec = codec
        self._reader = Reader(
            codec,
            submit.prompt_ids,
            known_call_ids=_call_ids(wanted.prompt),
            stop_sequences=wanted.stop_sequences,
        )
        self._reader.push(submit.committed_ids, final=False)
        self._thinking_tokens_before = self._reader.thinking_tokens
        self._told = Usage(
            prompt_tokens=len(submit.prompt_ids),
            output_tokens=0,
            cached_prompt_tokens=0,
            canvases=0,
            denoising_steps=0,
        )
        """Of what was written so far."""
        self._canvas_length = submit.canvas.canvas_length or model.canvas_length
        self._known_texts: dict[int, str] = {}

    @property
    def stop_sequence(self) -> str | None:
        """The sequence that ends the answer with what was written so far, if one does."""
        return self._reader.stop_sequence

    def stop(self, commit: Delivery) -> Completed:
        """The end of an answer that a stop sequence ended with `commit`."""
        assert isinstance(commit.event, Committed), "stop sequences are found in commits"
        self._record.stop(self._told, reason="stop_sequence", last_commit_ns=commit.event.end_ns)
        completed = self._completed(commit.sequence + 1, FinishReason.STOP, self._told)
        return replace(completed, stopped=True)

    def write(self, delivery: Delivery) -> AnswerEvent:
        match delivery.event:
            case Encoded():
                return self._started(delivery.sequence, delivery.event)
            case Stepped():
                return self._snapshot(delivery.sequence, delivery.event)
            case Committed():
                return self._commit(delivery, delivery.event)
            case Finished(reason=reason, usage=usage):
                return self._completed(delivery.sequence, reason, usage)
            case Scored():
                raise AssertionError("an answer has no labels")

    def _started(self, sequence: int, prefill: Encoded) -> Started:
        self._told = replace(self._told, cached_prompt_tokens=prefill.cached_count)
        return Started(
            sequence=sequence,
            request_id=self._record.request_id,
            model=self._model,
            prompt_tokens=len(self._submit.prompt_ids),
            cached_prompt_tokens=prefill.cached_count,
            seed=self._submit.sampling.seed,
            canvas_length=self._canvas_length,
            accepted_ns=self._record.accepted_ns,
            prefill_start_ns=prefill.start_ns,
            prefill_end_ns=prefill.end_ns,
        )

    def _snapshot(self, sequence: int, step: Stepped) -> Snapshot:
        shown = Snapshot(
            sequence=sequence,
            step=step,
            max_denoising_steps=self._submit.sampling.max_denoising_steps,
        )
        if self._preview is None or step.draft is None:
            return shown
        answer = self._before_end(step.draft.token_ids)
        if self._preview.mode is PreviewMode.TEXT:
            pieces = self._reader.draft(answer)
            return replace(shown, text=pieces.text, thought=pieces.thought)
        token_texts: tuple[str, ...] = ()
        if self._preview.token_texts:
            token_texts = tuple(map(self._token_text, step.draft.token_ids))
        return replace(shown, token_texts=token_texts, spans=self._reader.spans(answer))

    def _before_end(self, token_ids: tuple[int, ...]) -> tuple[int, ...]:
        stops = (*self._model.end_token_ids, *self._submit.sampling.stop_token_ids)
        if self._submit.canvas.template_length is not None:
            # they end a gap, not the answer
            return tuple(token for token in token_ids if token not in stops)
        ends = (token_ids.index(end) for end in stops if end in token_ids)
        return token_ids[: min(ends, default=len(token_ids))]

    def _token_text(self, token: int) -> str:
        # Most of a draft is the draft before it.
        if token not in self._known_texts:
            self._known_texts[token] = self._codec.decode((token,))
        return self._known_texts[token]

    def _commit(self, delivery: Delivery, canvas: Committed) -> Commit:
        assert delivery.last_step is not None, "a canvas is committed after a step"
        reading = self._reader.push(canvas.token_ids, final=delivery.final)
        pieces, logprobs = reading.pieces, canvas.logprobs[: len(reading.token_ids)]
        self._told = replace(
            self._told,
            output_tokens=self._told.output_tokens + len(reading.token_ids),
            canvases=self._told.canvases + 1,
            denoising_steps=self._told.denoising_steps + canvas.steps,
        )
        return Commit(
            sequence=delivery.sequence,
            canvas=replace(canvas, token_ids=reading.token_ids, logprobs=logprobs),
            last_step=delivery.last_step,
            text_delta=pieces.text,
            thought_delta=pieces.thought,
            tool_calls=tuple(pieces.tool_calls),
        )

    def _completed(self, sequence: int, reason: FinishReason, usage: Usage) -> Completed:
        return Completed(
            sequence=sequence,
            reason=reason,
            called_tools=self._reader.call_count > 0,
            usage=usage,
            thinking_tokens=self._reader.thinking_tokens - self._thinking_tokens_before,
            speeds=self._record.speeds(usage, canvas_length=self._canvas_length),
        )


def _call_ids(prompt: Prompt) -> frozenset[str]:
    """The ids that calls of the conversation have."""
    if not isinstance(prompt, ChatPrompt):
        return frozenset()
    return frozenset(call.id for message in prompt.messages for call in message.tool_calls)
