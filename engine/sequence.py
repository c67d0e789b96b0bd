"""One request on its way: what is committed, which canvas is being denoised, and what comes next.

A sequence says which segment it needs and takes the hidden states of that segment back; it never
runs the network itself, so a step may hold segments of any number of sequences.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from palimpsest.engine.cache import SequenceCache
from palimpsest.engine.diffusion import CanvasState, StepFigures, denoise
from palimpsest.engine.messages import (
    Committed,
    Draft,
    Encoded,
    Event,
    Finished,
    FinishReason,
    Stepped,
    Submit,
    Usage,
)
from palimpsest.engine.model import DiffusionGemma
from palimpsest.engine.noise import Noise
from palimpsest.engine.segments import Segment
from palimpsest.engine.shapes import Hidden

PREFILL_CHUNK_TOKENS = 1024
"""Prompt tokens of one pass at most: bounds a pass's memory and how long a cancellation waits."""

NoiseOf = Callable[[int], Noise]
"""The noise of a canvas, by its index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What ends an answer besides the request's own limit."""

    canvas_length: int
    max_context_tokens: int
    end_token_ids: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """The pass a segment ran in."""

    start_ns: int
    """Nanoseconds since the epoch."""
    batch_size: int
    """Canvases that shared it."""


class Phase(enum.Enum):
    """What the next segment of a sequence is for."""

    PREFILL = enum.auto()
    DENOISE = enum.auto()
    COMMIT = enum.auto()
    DONE = enum.auto()


@dataclass(slots=True, kw_only=True)
class Sequence:
    """State of one request. `pending` are tokens that have no keys and values yet."""

    request: Submit
    cache: SequenceCache
    limits: Limits
    noise_of: NoiseOf
    pending: torch.Tensor
    """[n] the prompt and the canvases that came with it, later the canvas to commit; on the model's
    device."""
    phase: Phase = Phase.PREFILL
    committed: int = 0
    """Tokens whose keys and values are written."""
    canvas_index: int = 0
    canvas: CanvasState | None = None
    noise: Noise | None = None
    began_ns: int = 0
    """Start of the first pass of the current prefill, canvas or commit."""
    output_count: int = 0
    """Tokens of the answer, those that came with the request included."""
    step_count: int = 0

    def segment(self) -> Segment:
        """The tokens this sequence needs in the next pass."""
        if self.phase is Phase.DENOISE:
            canvas = self._canvas()
            return Segment(
                cache=self.cache,
                token_ids=canvas.token_ids,
                start=self.committed,
                causal=False,
                soft_embedding=canvas.soft_embedding,
            )
        chunk = self.pending[: self._chunk_length()]
        return Segment(cache=self.cache, token_ids=chunk, start=self.committed, causal=True)

    def _chunk_length(self) -> int:
        # Canvases that came with the request take the passes they had when they were written: the
        # last bits of a sum depend on how many rows are in its pass.
        prompt_left = len(self.request.prompt_ids) - self.committed
        if prompt_left > 0:
            return min(prompt_left, PREFILL_CHUNK_TOKENS)
        return self.limits.canvas_length

    def settle(self, hidden: Hidden, model: DiffusionGemma, run: Pass) -> list[Event]:
        """Takes the pass's result; returns what the caller of the request should hear."""
        self.began_ns = self.began_ns or run.start_ns
        if self.phase is Phase.DENOISE:
            return self._settle_step(model.logits(hidden), model, run)
        return self._settle_causal(len(hidden))

    def _settle_causal(self, count: int) -> list[Event]:
        self.committed += count
        self.pending = self.pending[count:]
        if len(self.pending):
            return []
        commit = self.phase is Phase.COMMIT
        event = Encoded(
            request_id=self.request.request_id,
            canvas_index=self.canvas_index if commit else None,
            token_count=self.limits.canvas_length if commit else self.committed,
            start_ns=self.began_ns,
            end_ns=time.time_ns(),
        )
        self.canvas_index += commit
        self.canvas, self.phase, self.began_ns = None, Phase.DENOISE, 0
        return [event]

    def _settle_step(self, logits: torch.Tensor, model: DiffusionGemma, run: Pass) -> list[Event]:
        canvas = self._canvas()
        sampling = self.request.sampling
        figures = denoise(canvas, logits, sampling=sampling, noise=self._noise(), model=model)
        self.step_count += 1
        stepped = self._stepped(canvas, figures, run)
        if figures.done:
            return [stepped, *self._emit(canvas, figures, stepped.end_ns)]
        return [stepped]

    def _emit(self, canvas: CanvasState, figures: StepFigures, end_ns: int) -> list[Event]:
        """The canvas's final tokens, and the end of the request or the commit of the canvas."""
        final = canvas.argmax_history[-1]
        answer, reason = self._answer(final.tolist())
        self.output_count += len(answer)
        committed = Committed(
            request_id=self.request.request_id,
            canvas_index=self.canvas_index,
            steps=canvas.step,
            converged=figures.converged,
            token_ids=tuple(answer),
            start_ns=self.began_ns,
            end_ns=end_ns,
        )
        self.began_ns = 0
        if reason is None:
            self.pending, self.phase = final, Phase.COMMIT
            return [committed]
        # the last canvas is never committed: nothing will look at its keys and values
        self.phase = Phase.DONE
        finished = Finished(request_id=self.request.request_id, reason=reason, usage=self._usage())
        return [committed, finished]

    def _answer(self, final: list[int]) -> tuple[list[int], FinishReason | None]:
        """The canvas's tokens that belong to the answer, and why the answer ends, if it does."""
        ends = (i for i, token in enumerate(final) if token in self.limits.end_token_ids)
        end = next(ends, None)
        room = self.request.sampling.max_output_tokens - self.output_count
        if end is not None and end <= room:
            return final[:end], FinishReason.STOP
        if len(final) >= room:
            return final[:room], FinishReason.LENGTH
        after = self.committed + 2 * self.limits.canvas_length
        return final, FinishReason.LENGTH if after > self.limits.max_context_tokens else None

    def _stepped(self, canvas: CanvasState, figures: StepFigures, run: Pass) -> Stepped:
        return Stepped(
            request_id=self.request.request_id,
            canvas_index=self.canvas_index,
            step=canvas.step,
            start_ns=run.start_ns,
            end_ns=time.time_ns(),
            batch_size=run.batch_size,
            temperature=figures.temperature,
            accepted_count=int(figures.accepted.sum()),
            changed_count=figures.changed_count,
            mean_entropy=figures.mean_entropy,
            draft=_draft(canvas, figures) if self.request.drafts else None,
        )

    def _canvas(self) -> CanvasState:
        if self.canvas is None:
            self.noise = self.noise_of(self.canvas_index)
            self.canvas = CanvasState(token_ids=self.noise.initial_canvas())
        return self.canvas

    def _noise(self) -> Noise:
        assert self.noise is not None, "noise is made together with its canvas"
        return self.noise

    def _usage(self) -> Usage:
        given = len(self.request.committed_ids)
        return Usage(
            prompt_tokens=len(self.request.prompt_ids),
            output_tokens=self.output_count - given,
            cached_prompt_tokens=0,
            canvases=self.canvas_index + 1 - given // self.limits.canvas_length,
            denoising_steps=self.step_count,
        )


def _draft(canvas: CanvasState, figures: StepFigures) -> Draft:
    mask = figures.accepted.cpu()
    weights = 2 ** (torch.arange(len(mask)) % 8)
    octets = torch.zeros(-(-len(mask) // 8), dtype=torch.int64)
    octets.index_add_(0, torch.arange(len(mask)) // 8, mask * weights)
    return Draft(
        token_ids=tuple(canvas.argmax_history[-1].tolist()),
        confidence=bytes((figures.confidence * 255).round().to(torch.uint8).tolist()),
        accepted_mask=bytes(octets.tolist()),
    )
