"""What crosses between the server process and the engine process: plain data, token ids only.

Commands go in (`Submit`, `Cancel`, `Stop`), frames of events come out, one frame per engine step.
Times are nanoseconds since the epoch, taken in the engine. Knows no torch, no text and no wire
format.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

from palimpsest.engine.capacity import Capacity
from palimpsest.engine.errors import InvalidRequest

MAX_OUTPUT_TOKENS = 262_144
MAX_DENOISING_STEPS = 1_000
MAX_SEED = 2**64 - 1


class FinishReason(enum.Enum):
    """Why a request ended."""

    STOP = "stop"
    """The model wrote an end token."""
    LENGTH = "length"
    """`max_output_tokens` or the end of the context was reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How one request is denoised. Raises InvalidRequest naming field, value and bound."""

    max_output_tokens: int
    """Tokens of the answer at most, exact; 1 to MAX_OUTPUT_TOKENS."""
    seed: int
    """Key of all randomness of the request; 0 to 2^64 - 1."""
    max_denoising_steps: int = 48
    entropy_bound: float = 0.1
    """Nats. Positions are accepted while the entropies of the surer ones sum to at most this."""
    temperature_max: float = 0.8
    """Temperature of the first denoising step."""
    temperature_min: float = 0.4
    """Where the schedule heads; the last step runs one N-th above it."""
    confidence_threshold: float = 0.005
    """Nats. A canvas converges only while its mean entropy is below this."""
    stability_threshold: int = 1
    """A canvas converges only if its argmax equals this many previous ones."""
    temperature: float = 1.0
    """Multiplies the temperature of the draw alone; 0 draws the most likely token."""

    def __post_init__(self) -> None:
        _within("max_output_tokens", self.max_output_tokens, 1, MAX_OUTPUT_TOKENS)
        _within("seed", self.seed, 0, MAX_SEED)
        _within("max_denoising_steps", self.max_denoising_steps, 1, MAX_DENOISING_STEPS)
        _within("entropy_bound", self.entropy_bound, 0.0, 1e6)
        _within("temperature_max", self.temperature_max, 1e-3, 100.0)
        _within("temperature_min", self.temperature_min, 1e-3, 100.0)
        if self.temperature_min > self.temperature_max:
            raise InvalidRequest(
                "temperature_min",
                f"{self.temperature_min} is above temperature_max {self.temperature_max}",
            )
        _within("confidence_threshold", self.confidence_threshold, 0.0, 100.0)
        _within("stability_threshold", self.stability_threshold, 0, 100)
        _within("temperature", self.temperature, 0.0, 100.0)


def _within(field: str, value: float, low: float, high: float) -> None:
    if math.isnan(value) or not low <= value <= high:
        raise InvalidRequest(field, f"{value} is outside {low} to {high}")


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
    device: str
    dtype: str
    defaults: Sampling
    """The checkpoint's own generation settings; what a request leaves unset is taken from here."""
    capacity: Capacity
    """What is served at once."""


# Commands


@dataclass(frozen=True, slots=True, kw_only=True)
class Submit:
    """Generate an answer to `prompt_ids`."""

    request_id: int
    """Chosen by the server, unique for the life of the engine process."""
    prompt_ids: tuple[int, ...]
    sampling: Sampling
    drafts: bool
    """Whether step reports carry the draft canvas; figures are always sent."""
    committed_ids: tuple[int, ...] = ()
    """Tokens of the answer's canvases before the first one wanted; whole canvases. All limits count
    them, `Usage` does not."""
    share: str = ""
    """Whom the work is charged to: each share gets as much as any other while they compete."""
    priority: int = 0
    """-1, 0 or 1; each gets four times the work of the next lower one while they compete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Forget a request at the next step. No event follows; unknown ids are ignored."""

    request_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """End the process after the current step."""


Command = Submit | Cancel | Stop


# Events


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


Event = Ready | LoadFailed | Loading | Encoded | Stepped | Committed | Finished | Failed
RequestEvent = Encoded | Stepped | Committed | Finished | Failed
Frame = tuple[Event, ...]
