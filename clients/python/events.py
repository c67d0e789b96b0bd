"""What comes back from a server, as plain frozen values: no protobuf is needed to read them.

Durations are seconds, as `_s` says; indices count from 0, steps from 1. Knows nothing of the wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

FinishReason = Literal["stop", "length", "stop_sequence", "tool_calls", "other"]
"""`other` is a reason that this version of the client does not know."""
SpanKind = Literal["thought", "tool_call"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call that the model made. Given back in a message, it is what a tool's result answers."""

    id: str
    """Unique in its conversation."""
    name: str
    """Of the tool; not necessarily one that was declared."""
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Neighbouring positions of a draft that are not plain text."""

    kind: SpanKind
    start: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The first event of a stream: the prompt is read and the first canvas begins."""

    sequence: int
    request_id: str
    model: str
    canvas_length: int
    """Tokens per canvas."""
    prompt_tokens: int
    cached_prompt_tokens: int
    seed: int
    """The seed in use: sent again with the same prompt, it gives the same answer."""
    queue_s: float
    prefill_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFigures:
    """What is known of one denoising step."""

    step_s: float
    """From the start of the step to its end, on the engine's clock."""
    queue_s: float | None
    """How long the canvas waited for the step; None where not measured."""
    device_s: float | None
    """Work on the device; None where not measured."""
    batch_size: int
    """Canvases that shared the pass."""
    temperature: float
    accepted_count: int
    changed_count: int
    """Positions whose draft token differs from the step before."""
    mean_entropy: float
    """Nats per position."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A draft of the canvas being denoised. May be skipped: a slow reader gets the newest only.

    What the preview did not ask for is empty; everything else has one entry per position.
    """

    sequence: int
    canvas_index: int
    step: int
    max_denoising_steps: int
    """Steps this canvas takes at most."""
    figures: StepFigures
    token_ids: tuple[int, ...] = ()
    token_texts: tuple[str, ...] = ()
    """Empty strings stand for tokens without text, such as padding."""
    confidence: tuple[float, ...] = ()
    """Probability of the token shown, 0 to 1, in steps of 1/255."""
    accepted: tuple[bool, ...] = ()
    """Whether the sampler accepted the position in this step."""
    entropy: tuple[float, ...] = ()
    """Share of the largest possible entropy, 0 to 1, in steps of 1/255."""
    text: str = ""
    """The draft as text, without thought and calls; mode "text" only."""
    thought: str = ""
    """The thought in the draft; mode "text" only."""
    spans: tuple[Span, ...] = ()
    """Which positions are not plain text; mode "tokens" only."""
    candidate_index: int = 0
    """Which answer this belongs to; 0 unless `candidate_count` is above 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLogprobs:
    """Log-probabilities at one position, in nats and at temperature 1."""

    logprob: float
    """Of the token in the answer."""
    top: tuple[tuple[int, float], ...]
    """The most probable tokens by their ids, most probable first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A canvas is final. Never skipped; all `text_delta`s joined are the answer, and all
    `thought_delta`s the thought before it."""

    sequence: int
    canvas_index: int
    steps: int
    """Denoising steps it took."""
    converged: bool
    """False when the step limit ended it."""
    token_ids: tuple[int, ...]
    """The answer's tokens of this canvas, without end token and padding."""
    text_delta: str
    thought_delta: str
    denoise_s: float
    """From the start of its first step to the end of its last."""
    figures: StepFigures
    """Of its last step."""
    tool_calls: tuple[ToolCall, ...] = ()
    """Calls that end in this canvas."""
    logprobs: tuple[TokenLogprobs, ...] = ()
    """One per token if they were asked for."""
    candidate_index: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Counts of one answer."""

    prompt_tokens: int
    cached_prompt_tokens: int
    output_tokens: int
    thinking_tokens: int
    canvases: int
    denoising_steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Speeds:
    """Speeds of one answer as the server measured them, from acceptance to the last commit."""

    output_tokens_per_second: float
    """Answer tokens."""
    effective_tokens_per_second: float
    """Canvas tokens, padding included."""
    steps_per_canvas: float
    tokens_per_forward: float
    """Answer tokens per denoising step."""
    time_to_first_draft_s: float
    time_to_first_commit_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """An answer is complete: the last event of a stream that went well, or of one candidate.

    Of an answer that took several calls, `speeds` and `usage.thinking_tokens` are the last call's.
    """

    sequence: int
    finish_reason: FinishReason
    usage: Usage
    speeds: Speeds
    candidate_index: int = 0


Event = Started | Snapshot | Commit | Completed


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A further answer to the same request; its fields are those of `Generation`."""

    text: str
    thought: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    usage: Usage
    speeds: Speeds
    seed: int
    """The seed that gives it alone."""
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[TokenLogprobs, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """A whole answer."""

    request_id: str
    model: str
    text: str
    """Without thought and calls."""
    thought: str
    token_ids: tuple[int, ...]
    """All of them, thought and calls included."""
    finish_reason: FinishReason
    usage: Usage
    speeds: Speeds
    seed: int
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[TokenLogprobs, ...] = ()
    """One per token if they were asked for."""
    more_candidates: tuple[Candidate, ...] = ()
    """Candidates 1 and up; this is candidate 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A served model."""

    name: str
    canvas_length: int
    max_context_tokens: int
    """Prompt and answer together."""
    vocabulary_size: int
    parameter_count: int
    device: str
    dtype: str
    defaults: Mapping[str, object]
    """What a request leaves unset, by the names that `generate` takes."""
