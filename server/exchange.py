"""What a transport hands to generation, and what it gets back: plain data.

Field names are the contract's, so that a refusal can name them. Knows no wire format.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from palimpsest.engine.api import Committed, FinishReason, ModelInfo, Stepped, Usage
from palimpsest.server.mailbox import Pace
from palimpsest.server.prompts import Prompt, ToolCall


class PreviewMode(enum.Enum):
    """What a snapshot shows."""

    METADATA = "metadata"
    TEXT = "text"
    TOKENS = "tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """Which drafts a caller wants, and what of them."""

    mode: PreviewMode
    pace: Pace
    confidence: bool = False
    accepted_mask: bool = False
    entropy: bool = False
    token_texts: bool = False
    deltas: bool = False
    """Whether a draft may come as what differs from the one before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumePoint:
    """Where to take up an answer whose stream broke."""

    first_canvas_index: int
    """Of the first canvas that is missing."""
    committed_token_ids: tuple[int, ...]
    """Tokens of the canvases before it; at least one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CanvasControl:
    """What canvases start from and keep; positions count from the answer's first token."""

    starting_token_ids: tuple[int, ...] = ()
    pinned_positions: tuple[int, ...] = ()
    """Those of `starting_token_ids` that stay; ascending."""
    template: tuple[str | int, ...] = ()
    """Literals, and gaps as their number of positions. Not with the two above."""
    read_only: bool = False
    """Whether the answer is one canvas."""
    canvas_length: int | None = None
    """None is the model's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonSchema:
    """The answer is JSON that a schema describes."""

    text: str
    """The schema, as JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Regex:
    """The answer matches an expression as a whole."""

    pattern: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """The answer is one of some texts."""

    texts: tuple[str, ...]


ResponseFormat = JsonSchema | Regex | Choices
SamplingValue = float | tuple[int, ...] | tuple[tuple[int, float], ...]
"""Of a field of Sampling."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What to generate."""

    model: str
    """Empty means the served model."""
    prompt: Prompt
    sampling: Mapping[str, SamplingValue]
    """The fields of Sampling that the caller set; the rest is the checkpoint's own."""
    preview: Preview | None
    """None: commits alone."""
    canvas: CanvasControl = CanvasControl()
    resume: ResumePoint | None = None
    """None: from the first canvas on."""
    share: str = ""
    priority: int = 0
    """-1, 0 or 1."""
    stop_sequences: tuple[str, ...] = ()
    """The answer ends before the first of these in its text."""
    candidate_count: int = 1
    """Answers to give."""
    thinking_budget: int | None = None
    """Tokens of thought at most; None is no limit."""
    response_format: ResponseFormat | None = None
    """What the text of the answer must be; None is anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The prompt is read. Times are nanoseconds since the epoch."""

    sequence: int
    request_id: str
    model: ModelInfo
    prompt_tokens: int
    cached_prompt_tokens: int
    seed: int
    canvas_length: int
    """Of this answer's canvases."""
    accepted_ns: int
    prefill_start_ns: int
    prefill_end_ns: int


class ContentKind(enum.Enum):
    """What a stretch of a draft is, where it is not plain text."""

    THOUGHT = "thought"
    TOOL_CALL = "tool_call"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentSpan:
    """Neighbouring positions of one kind."""

    kind: ContentKind
    start: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A draft of the canvas being denoised."""

    sequence: int
    step: Stepped
    max_denoising_steps: int
    text: str | None = None
    """In mode TEXT, thoughts and calls excluded."""
    thought: str = ""
    """In mode TEXT."""
    token_texts: tuple[str, ...] = ()
    """In mode TOKENS, if asked for: one per position."""
    spans: tuple[ContentSpan, ...] = ()
    """In mode TOKENS: positions that are not plain text."""
    candidate_index: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A canvas is final."""

    sequence: int
    canvas: Committed
    last_step: Stepped
    text_delta: str
    thought_delta: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    candidate_index: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Speeds:
    """Speeds of one answer; wall time counts from acceptance to the last commit."""

    output_tokens_per_second: float
    effective_tokens_per_second: float
    steps_per_canvas: float
    tokens_per_forward: float
    time_to_first_draft_ns: int
    time_to_first_commit_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """The answer is whole."""

    sequence: int
    reason: FinishReason
    called_tools: bool
    """Whether the model called tools, and so waits for their results."""
    usage: Usage
    thinking_tokens: int
    """Of the output tokens, those of thought."""
    speeds: Speeds
    stopped: bool = False
    """Whether a stop sequence ended it, and not what `reason` says."""
    candidate_index: int = 0


AnswerEvent = Started | Snapshot | Commit | Completed
