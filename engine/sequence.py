"""One request on its way: which canvas is being denoised, and what comes of each pass.

A sequence says which segments its turn of a pass needs and takes the results of that pass back; it
never runs the network itself, so a pass holds segments of any number of sequences.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Ordered
from dataclasses import dataclass

import torch

from palimpsest.engine.cache import KeyValues
from palimpsest.engine.commands import Picture, Submit
from palimpsest.engine.diffusion import CanvasState, StepFigures
from palimpsest.engine.events import (
    Committed,
    Encoded,
    Event,
    Finished,
    FinishReason,
    Scored,
    Stepped,
    Usage,
)
from palimpsest.engine.filling import Filling
from palimpsest.engine.logit_controls import LogitControls
from palimpsest.engine.noise import NoiseKey
from palimpsest.engine.reports import draft_of
from palimpsest.engine.scheduler import Job, Turn
from palimpsest.engine.segments import PictureSegment, Segment
from palimpsest.engine.shapes import Canvas, Shown
from palimpsest.engine.vision.blocks import within


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What ends an answer besides the request's own limit."""

    canvas_length: int
    max_context_tokens: int
    end_token_ids: frozenset[int]
    vocabulary_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """The pass a turn ran in."""

    start_ns: int
    """Nanoseconds since the epoch."""
    end_ns: int
    batch_size: int
    """Canvases that shared it."""
    device_ns: int | None = None
    """Of work on the device; None where it is not measured."""


@dataclass(slots=True, kw_only=True)
class Sequence:
    """State of one request between passes."""

    request: Submit
    job: Job
    limits: Limits
    controls: LogitControls | None = None
    """None: logits are left as they are."""
    filling: Filling | None = None
    """None: there is no template."""
    canvas_index: int = 0
    canvas: CanvasState | None = None
    """None between the end of a canvas and the first pass of the next."""
    cached_count: int | None = None
    """Tokens of the prompt found in the cache; None before the first pass."""
    encode_began_ns: int = 0
    """Start of the first pass of the prefill or commit under way."""
    canvas_began_ns: int = 0
    encoded_count: int = 0
    """Tokens of the prefill or commit under way that are done."""
    reported: int = -1
    """Index of the last canvas that what comes before it was reported for; -1 before the first."""
    output_count: int = 0
    """Tokens of the answer, those that came with the request included."""
    step_count: int = 0
    stepped_ns: int = 0
    """End of the last step."""
    done: bool = False

    def noise_key(self) -> NoiseKey:
        """Of the canvas's next step; of its beginning if it has none yet."""
        step = 0 if self.canvas is None else self.canvas.step + 1
        return NoiseKey(self.request.sampling.seed, self.canvas_index, step)

    def begin(self, random: Canvas) -> None:
        """The next canvas starts, from these tokens where the request does not say otherwise."""
        length, plan = self.limits.canvas_length, self.request.canvas
        first, tokens = self.canvas_index * length, random[:length].clone()
        given = plan.starting_ids[first : first + length]
        tokens[: len(given)] = torch.tensor(given, dtype=tokens.dtype, device=tokens.device)
        for position, token in plan.pinned:
            if first <= position < first + length:
                tokens[position - first] = token
        self.canvas = CanvasState(token_ids=tokens)

    def pictures(self, turn: Turn) -> list[Picture]:
        """Those that `turn` encodes."""
        return within(self.request.pictures, turn.start, turn.start + turn.encode)

    def segments(
        self,
        turn: Turn,
        cache: KeyValues,
        device: torch.device,
        embeddings: Mapping[bytes, Shown],
    ) -> list[Segment]:
        """What `turn` needs in the pass: tokens to encode, then the canvas.

        `embeddings` are those of its pictures, by their keys.
        """
        segments = []
        for start, end in self.pieces(turn):
            ids = torch.tensor(self.job.tokens[start:end], device=device)
            shown = tuple(
                PictureSegment(start=p.start, end=p.end, embeddings=embeddings[p.key])
                for p in within(self.request.pictures, start, end)
            )
            segments.append(
                Segment(cache=cache, token_ids=ids, start=start, causal=True, pictures=shown)
            )
        if turn.denoise:
            assert self.canvas is not None, "the engine begins canvases before the pass"
            segments.append(
                Segment(
                    cache=cache,
                    token_ids=self.canvas.token_ids,
                    start=turn.start + turn.encode,
                    causal=False,
                    soft_embedding=self.canvas.soft_embedding,
                )
            )
        return segments

    def pieces(self, turn: Turn) -> Iterator[tuple[int, int]]:
        """What `turn` encodes, cut where a canvas begins: a canvas that is encoded again, or came
        with the request, is summed up as it was when it was committed.
        """
        start, end = turn.start, turn.start + turn.encode
        length, prompt = self.limits.canvas_length, len(self.request.prompt_ids)
        while start < end:
            ahead = prompt - start if start < prompt else length - (start - prompt) % length
            yield start, min(end, start + ahead)
            start += ahead

    def settle(self, turn: Turn, figures: StepFigures | None, run: Pass) -> list[Event]:
        """Takes the pass's result; returns what the caller of the request should hear."""
        events = self._settle_encoding(turn, run)
        if figures is not None:
            events += self._settle_step(figures, run)
        return events

    def _settle_encoding(self, turn: Turn, run: Pass) -> list[Event]:
        if self.cached_count is None:
            self.cached_count = min(turn.start, len(self.request.prompt_ids))
        self.encode_began_ns = self.encode_began_ns or run.start_ns
        self.encoded_count += turn.encode
        if not turn.denoise or self.reported == self.canvas_index:
            return []
        # a request that lost its pages encodes everything once more, which is nobody's news
        first = self.reported < 0
        self.reported = self.canvas_index
        event = Encoded(
            request_id=self.request.request_id,
            canvas_index=None if first else self.canvas_index - 1,
            token_count=self.encoded_count,
            start_ns=self.encode_began_ns,
            end_ns=run.end_ns,
            cached_count=self.cached_count if first else 0,
        )
        return [event]

    def _settle_step(self, figures: StepFigures, run: Pass) -> list[Event]:
        canvas = self._canvas()
        self.canvas_began_ns = self.canvas_began_ns or run.start_ns
        self.encode_began_ns = self.encoded_count = 0
        self.step_count += 1
        stepped = self._stepped(canvas, figures, run)
        self.stepped_ns = run.end_ns
        if not figures.done:
            return [stepped]
        if self.request.labels:
            return [stepped, *self._score(canvas, figures, run)]
        return [stepped, *self._emit(canvas, figures, run)]

    def _score(self, canvas: CanvasState, figures: StepFigures, run: Pass) -> list[Event]:
        """What the canvas says of the labels, and the end of the request."""
        scored = Scored(
            request_id=self.request.request_id,
            log_probabilities=figures.scores,
            steps=canvas.step,
            end_ns=run.end_ns,
        )
        return [scored, self._finish(FinishReason.SCORED)]

    def _emit(self, canvas: CanvasState, figures: StepFigures, run: Pass) -> list[Event]:
        """The canvas's final tokens, and the end of the request or the commit of the canvas."""
        assert canvas.draft is not None, "a step was done"
        final = canvas.draft.tolist()
        kept, reason = self._answer(final)
        self.output_count += len(kept)
        committed = Committed(
            request_id=self.request.request_id,
            canvas_index=self.canvas_index,
            steps=canvas.step,
            converged=figures.converged,
            token_ids=tuple(final[place] for place in kept),
            start_ns=self.canvas_began_ns,
            end_ns=run.end_ns,
            logprobs=tuple(figures.logprobs[place] for place in kept if figures.logprobs),
        )
        if reason is None:
            self.job.append(final)
            if self.controls is not None:
                self.controls.commit(final)
            self.canvas, self.canvas_index, self.canvas_began_ns = None, self.canvas_index + 1, 0
            return [committed]
        # the last canvas is never committed: nothing will look at its keys and values
        return [committed, self._finish(reason)]

    def _finish(self, reason: FinishReason) -> Finished:
        self.done = True
        return Finished(request_id=self.request.request_id, reason=reason, usage=self._usage())

    def _answer(self, final: Ordered[int]) -> tuple[Ordered[int], FinishReason | None]:
        """Places in the canvas that belong to the answer, and why it ends, if it does."""
        if self.filling is not None:
            kept = self.filling.read(final)
            return kept, FinishReason.STOP if self.filling.is_whole else None
        stops = self.request.sampling.stop_token_ids
        ends = self.limits.end_token_ids.union(stops)
        end = next((i for i, token in enumerate(final) if token in ends), None)
        room = self.request.sampling.max_output_tokens - self.output_count
        if end is not None and end <= room:
            by_request = final[end] not in self.limits.end_token_ids
            return range(end), FinishReason.STOP_TOKEN if by_request else FinishReason.STOP
        if len(final) >= room:
            return range(room), FinishReason.LENGTH
        after = len(self.job.tokens) + 2 * self.limits.canvas_length
        over = self.request.canvas.read_only or after > self.limits.max_context_tokens
        return range(len(final)), FinishReason.LENGTH if over else None

    def _stepped(self, canvas: CanvasState, figures: StepFigures, run: Pass) -> Stepped:
        shown = self.request.drafts
        return Stepped(
            request_id=self.request.request_id,
            canvas_index=self.canvas_index,
            step=canvas.step,
            start_ns=run.start_ns,
            end_ns=run.end_ns,
            batch_size=run.batch_size,
            temperature=figures.temperature,
            accepted_count=int(figures.accepted.sum()),
            changed_count=figures.changed_count,
            mean_entropy=figures.mean_entropy,
            queue_ns=None if canvas.step == 1 else run.start_ns - self.stepped_ns,
            device_ns=run.device_ns,
            draft=draft_of(canvas, figures, self.limits.vocabulary_size) if shown else None,
        )

    def _canvas(self) -> CanvasState:
        assert self.canvas is not None, "a step was done"
        return self.canvas

    def _usage(self) -> Usage:
        given = len(self.request.committed_ids)
        return Usage(
            prompt_tokens=len(self.request.prompt_ids),
            output_tokens=self.output_count - given,
            cached_prompt_tokens=self.cached_count or 0,
            canvases=self.canvas_index + 1 - given // self.limits.canvas_length,
            denoising_steps=self.step_count,
        )
