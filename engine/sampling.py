"""How one request is denoised, stopped and reported: plain values, checked. Knows no torch.

"The draw" is the sampling of a token at every position of a step; what acts on the draw alone
leaves acceptance, stop rule and drafts as they are. What acts on logits acts on all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from palimpsest.engine.errors import InvalidRequest

MAX_OUTPUT_TOKENS = 262_144
MAX_DENOISING_STEPS = 1_000
MAX_SEED = 2**64 - 1
MAX_STOP_TOKENS = 64
MAX_LOGPROBS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Settings of one request. Raises InvalidRequest naming field, value and bound."""

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
    top_p: float = 1.0
    """Draws from the fewest tokens whose probabilities sum to this; above 0, at most 1."""
    top_k: int | None = None
    """Draws from this many most probable tokens, at least 1; None from all."""
    min_p: float = 0.0
    """Draws tokens at least this fraction as probable as the most probable one; 0 to 1."""

    logit_bias: tuple[tuple[int, float], ...] = ()
    """Token ids and what is added to their logits, -100 to 100."""
    banned_token_ids: tuple[int, ...] = ()
    """Never in the answer."""
    allowed_token_ids: tuple[int, ...] = ()
    """Alone in the answer, besides what ends it; empty allows all."""
    repetition_penalty: float = 1.0
    """Divides positive and multiplies negative logits of tokens of prompt and committed canvases;
    above 0, at most 10."""
    presence_penalty: float = 0.0
    """Taken from the logits of tokens that a committed canvas holds; -2 to 2."""
    frequency_penalty: float = 0.0
    """Taken from them once for every time that a committed canvas holds them; -2 to 2."""

    stop_token_ids: tuple[int, ...] = ()
    """End the answer as its end token does, and are no part of it; at most MAX_STOP_TOKENS."""
    logprobs: int | None = None
    """Most probable tokens to report at each committed position, 0 to MAX_LOGPROBS, with the
    log-probability of the one that was committed; None reports nothing."""

    def __post_init__(self) -> None:
        self._check_schedule()
        self._check_draw()
        self._check_logits()
        _within("max_output_tokens", self.max_output_tokens, 1, MAX_OUTPUT_TOKENS)
        if len(self.stop_token_ids) > MAX_STOP_TOKENS:
            reason = f"has {len(self.stop_token_ids)} ids, more than {MAX_STOP_TOKENS}"
            raise InvalidRequest("stop_token_ids", reason)
        if self.logprobs is not None:
            _within("logprobs", self.logprobs, 0, MAX_LOGPROBS)

    @property
    def controls_logits(self) -> bool:
        """Whether the network's logits are changed at all."""
        listed = self.logit_bias or self.banned_token_ids or self.allowed_token_ids
        penalties = (self.repetition_penalty - 1.0, self.presence_penalty, self.frequency_penalty)
        return bool(listed) or any(penalties)

    def _check_schedule(self) -> None:
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

    def _check_draw(self) -> None:
        _within("temperature", self.temperature, 0.0, 100.0)
        _above_zero("top_p", self.top_p, 1.0)
        if self.top_k is not None and self.top_k < 1:
            raise InvalidRequest("top_k", f"{self.top_k} is below 1")
        _within("min_p", self.min_p, 0.0, 1.0)

    def _check_logits(self) -> None:
        for token, bias in self.logit_bias:
            _within(f"logit_bias[{token}]", bias, -100.0, 100.0)
        _above_zero("repetition_penalty", self.repetition_penalty, 10.0)
        _within("presence_penalty", self.presence_penalty, -2.0, 2.0)
        _within("frequency_penalty", self.frequency_penalty, -2.0, 2.0)
        allowed, banned = set(self.allowed_token_ids), set(self.banned_token_ids)
        if allowed and allowed <= banned:
            raise InvalidRequest("allowed_token_ids", "are all among banned_token_ids")


def refuse_unknown_tokens(sampling: Sampling, vocabulary_size: int) -> None:
    """Raises InvalidRequest naming the field that holds a token the model does not have."""
    biased = tuple(token for token, _ in sampling.logit_bias)
    named = {"logit_bias": biased} | {
        name: getattr(sampling, name)
        for name in ("banned_token_ids", "allowed_token_ids", "stop_token_ids")
    }
    for field, tokens in named.items():
        for token in tokens:
            _within(field, token, 0, vocabulary_size - 1)


def _within(field: str, value: float, low: float, high: float) -> None:
    if math.isnan(value) or not low <= value <= high:
        raise InvalidRequest(field, f"{value} is outside {low} to {high}")


def _above_zero(field: str, value: float, high: float) -> None:
    if math.isnan(value) or not 0.0 < value <= high:
        raise InvalidRequest(field, f"{value} is not above 0 and at most {high}")
