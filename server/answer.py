"""From one request's engine events to its answer's: adds the text. Knows no wire format."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from palimpsest.engine.api import (
    Committed,
    Encoded,
    Finished,
    ModelInfo,
    Stepped,
    Submit,
    TextCodec,
)
from palimpsest.server.call import Call
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


class AnswerWriter:
    """Turns the engine's events of one request into its answer's, in their order."""

    def __init__(
        self, wanted: Generation, submit: Submit, model: ModelInfo, call: Call, codec: TextCodec
    ) -> None:
        self._preview = wanted.preview
        self._submit = submit
        self._model = model
        self._call = call
        self._codec = codec
        self._detokenizer = codec.detokenizer()
        self._known_texts: dict[int, str] = {}

    def write(self, delivery: Delivery) -> AnswerEvent:
        match delivery.event:
            case Encoded():
                return self._started(delivery.sequence, delivery.event)
            case Stepped():
                return self._snapshot(delivery.sequence, delivery.event)
            case Committed():
                return self._commit(delivery, delivery.event)
            case Finished(reason=reason, usage=usage):
                return Completed(
                    sequence=delivery.sequence,
                    reason=reason,
                    usage=usage,
                    speeds=self._call.speeds(usage, canvas_length=self._model.canvas_length),
                )

    def _started(self, sequence: int, prefill: Encoded) -> Started:
        return Started(
            sequence=sequence,
            request_id=self._call.request_id,
            model=self._model,
            prompt_tokens=len(self._submit.prompt_ids),
            seed=self._submit.sampling.seed,
            accepted_ns=self._call.accepted_ns,
            prefill_start_ns=prefill.start_ns,
            prefill_end_ns=prefill.end_ns,
        )

    def _snapshot(self, sequence: int, step: Stepped) -> Snapshot:
        text: str | None = None
        token_texts: tuple[str, ...] = ()
        if self._preview is not None and step.draft is not None:
            if self._preview.mode is PreviewMode.TEXT:
                text = self._codec.decode(self._before_end(step.draft.token_ids))
            elif self._preview.token_texts:
                token_texts = tuple(map(self._token_text, step.draft.token_ids))
        return Snapshot(
            sequence=sequence,
            step=step,
            max_denoising_steps=self._submit.sampling.max_denoising_steps,
            text=text,
            token_texts=token_texts,
        )

    def _before_end(self, token_ids: tuple[int, ...]) -> Iterator[int]:
        return itertools.takewhile(lambda id: id not in self._model.end_token_ids, token_ids)

    def _token_text(self, token: int) -> str:
        # Most of a draft is the draft before it.
        if token not in self._known_texts:
            self._known_texts[token] = self._codec.decode((token,))
        return self._known_texts[token]

    def _commit(self, delivery: Delivery, canvas: Committed) -> Commit:
        assert delivery.last_step is not None, "a canvas is committed after a step"
        text_delta = self._detokenizer.push(canvas.token_ids)
        if delivery.final:
            text_delta += self._detokenizer.finish()
        return Commit(
            sequence=delivery.sequence,
            canvas=canvas,
            last_step=delivery.last_step,
            text_delta=text_delta,
        )
