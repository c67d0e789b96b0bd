"""What the engine process tells the server process: plain data, a frame of events per engine step.

Times are nanoseconds since the epoch, taken in the engine. Knows no torch, no text and no wire
format.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from palimpsest.engine.capacity import Capacity
from palimpsest.engine.sampling import Sampling


class FinishReason(enum.Enum):
    """Why a request ended."""

    STOP = "stop"
    """The model wrote an end token."""
    STOP_TOKEN = "stop_token"
    """It wrote one of the request's own."""
    LENGTH = "length"
    """`max_output_tokens` or the end of the context was reached."""
    SCORED = "scored"
    """Its labels are scored, and nothing was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """What the engine serves, known once its weights are loaded."""

    name: str
    canvas_length: int
    max_context_tokens: int
    vocabulary_size: int
    end_token_ids: tuple[int, ...]
    """Any of these ends an answer and is not part of it."""
    parameter_count: int
    sees: bool
    """Whether prompts may hold pictures."""
    device: str
    dtype: str
    defaults: Sampling
    """The checkpoint's own generation settings; what a request leaves unset is taken from here."""
    capacity: Capacity
    """What is served at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The model is loaded and warm."""

    model: ModelInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadFailed:
    """The model cannot be served; the process ends after this."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Loading:
    """Progress of loading, for people who wait."""

    done_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PageCounts:
    """The cache of one kind of layer."""

    window: int | None
    """Keys that a query of these layers sees; None for all."""
    held: int
    """Pages of requests that run."""
    kept: int
    """Pages that nobody holds, kept for prompts that begin alike."""
    total: int
    evicted: int
    """Kept pages that were given to others since the engine started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The engine after a step; ends each frame. Counts are since it started."""

    time_ns: int
    running: int
    """Requests that have a part in the next pass."""
    waiting: int
    passes: int
    last_pass_ns: int
    """Duration of the last pass; 0 before the first."""
    last_batch_size: int
    """Canvases in it."""
    steps: int
    """Denoising steps of canvases, over all passes."""
    output_tokens: int
    """Tokens of answers."""
    canvas_tokens: int
    """Tokens of their canvases, padding included."""
    preempted: int
    """Times that a request had to give its pages back."""
    pages: tuple[PageCounts, ...]
    memory_bytes: int | None
    """Of the device, in use by this process; None where not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """A causal pass wrote K/V: the prefill (`canvas_index` None) or the commit of a canvas."""

    request_id: int
    canvas_index: int | None
    token_count: int
    """Tokens whose keys and values were computed."""
    start_ns: int
    end_ns: int
    cached_count: int = 0
    """Of a prompt: tokens before those, found in the cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """The argmax canvas after a step. Lengths are the canvas length C."""

    token_ids: tuple[int, ...]
    confidence: bytes
    """One byte per position: round(255 · probability of the shown token)."""
    accepted_mask: bytes
    """Bit i (least significant first) is set when position i was accepted; ceil(C / 8) bytes."""
    entropy: bytes
    """One byte per position: round(255 · entropy / ln V)."""


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """Natural logarithms of probabilities at one position, at temperature 1."""

    logprob: float
    """Of the token that was committed."""
    top: tuple[tuple[int, float], ...]
    """The most probable tokens, most probable first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepped:
    """One denoising step of one canvas is done."""

    request_id: int
    canvas_index: int
    step: int
    """Counts up from 1."""
    start_ns: int
    end_ns: int
    batch_size: int
    """Canvases that shared the pass."""
    temperature: float
    accepted_count: int
    changed_count: int
    """Positions whose argmax differs from the step before; C at step 1."""
    mean_entropy: float
    """Nats per position."""
    draft: Draft | None
    queue_ns: int | None = None
    """Since the end of the canvas's last step; None in its first."""
    device_ns: int | None = None
    """Of work on the device in the pass; None where it is not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """A canvas has its final tokens. Sent before its K/V is written."""

    request_id: int
    canvas_index: int
    steps: int
    converged: bool
    """False when the step limit ended it."""
    token_ids: tuple[int, ...]
    """Tokens of the answer: no end token, no padding after it, no tokens past the limit."""
    start_ns: int
    end_ns: int
    logprobs: tuple[TokenLogprobs, ...] = ()
    """One per token if they were asked for, from the canvas's last step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """The labels of a request are scored, in the last step of its only canvas."""

    request_id: int
    log_probabilities: tuple[float, ...]
    """One per label: of its tokens and of any end token behind them; nats, at temperature 1."""
    steps: int
    end_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Counts of one request; canvases that it came with are not in them."""

    prompt_tokens: int
    output_tokens: int
    cached_prompt_tokens: int
    canvases: int
    denoising_steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The last event of a request that went well."""

    request_id: int
    reason: FinishReason
    usage: Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The last event of a request that did not: what the engine could not do, in one line."""

    request_id: int
    message: str


RequestEvent = Encoded | Stepped | Committed | Scored | Finished | Failed
Event = Ready | LoadFailed | Loading | Report | RequestEvent
Frame = tuple[Event, ...]
