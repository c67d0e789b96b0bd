"""Questions with labels: what a transport asks and gets, what of it is refused, and what the engine
is given for it. Pure functions; knows no wire format and no engine process.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from palimpsest.engine.api import InvalidRequest, ModelInfo, TextCodec, Usage
from palimpsest.server.prompts import ChatPrompt, Prompt, TextPrompt, TokenPrompt

MAX_QUESTIONS = 1_024
LABELS = (2, 256)
"""Labels of a question, at least and at most."""
MAX_STEPS = 64
CALIBRATION = (0.01, 100.0)
CANVAS_MULTIPLE = 16
"""Canvases of questions are multiples of this, so that few lengths share a pass. Of 200 questions
of the suite `count` a canvas of 16 gets 197 right after one step and after four, and the bundled
model's whole canvas of 64 gets 196 and 197, for four times the rows.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question with its possible answers."""

    text: str
    """Stands behind the shared prompt; may be empty."""
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """What to decide."""

    model: str
    """Empty means the served model."""
    prompt: Prompt
    """What all questions share."""
    questions: tuple[Question, ...]
    denoising_steps: int = 1
    calibration_temperature: float = 1.0
    seed: int | None = None
    """None: one is drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The scores of one question, one per label."""

    labels: tuple[str, ...]
    log_probabilities: tuple[float, ...]
    """Nats."""
    probabilities: tuple[float, ...]
    """Calibrated shares; they sum to 1."""

    @property
    def best_index(self) -> int:
        """The most probable label; the first of equals."""
        return self.log_probabilities.index(max(self.log_probabilities))


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The scores of all questions, in their order."""

    request_id: str
    model: ModelInfo
    decisions: tuple[Decision, ...]
    seed: int
    usage: Usage
    duration_ns: int
    """From acceptance to the last score."""


def check(inquiry: Inquiry) -> None:
    """Raises InvalidRequest for what is out of bounds whatever the model."""
    _check_count("questions", len(inquiry.questions), 1, MAX_QUESTIONS)
    for index, question in enumerate(inquiry.questions):
        _check_labels(question.labels, f"questions[{index}].labels")
    steps, temperature = inquiry.denoising_steps, inquiry.calibration_temperature
    if not 1 <= steps <= MAX_STEPS:
        raise InvalidRequest("denoising_steps", f"{steps} is outside 1 to {MAX_STEPS}")
    low, high = CALIBRATION
    if math.isnan(temperature) or not low <= temperature <= high:
        reason = f"{temperature} is outside {low} to {high}"
        raise InvalidRequest("calibration_temperature", reason)


def _check_labels(labels: Sequence[str], path: str) -> None:
    _check_count(path, len(labels), *LABELS)
    first: dict[str, int] = {}
    for index, label in enumerate(labels):
        if not label:
            raise InvalidRequest(f"{path}[{index}]", "is empty")
        if first.setdefault(label, index) != index:
            reason = f"{label!r} is the label at index {first[label]} too"
            raise InvalidRequest(f"{path}[{index}]", reason)


def _check_count(path: str, count: int, low: int, high: int) -> None:
    if not low <= count <= high:
        raise InvalidRequest(path, f"{count} are outside {low} to {high}")


def without_thinking(prompt: Prompt) -> Prompt:
    """Labels are scored where the answer starts, so there is no thought before it, whatever the
    server's default. Raises InvalidRequest where the prompt asks for one.
    """
    if not isinstance(prompt, ChatPrompt):
        return prompt
    if prompt.enable_thinking:
        reason = "labels are scored at the start of the answer, so there is no thought before it"
        raise InvalidRequest("prompt.chat.enable_thinking", reason)
    return replace(prompt, enable_thinking=False)


def ask(prompt: Prompt, text: str, codec: TextCodec) -> Prompt:
    """The shared prompt with a question's text at its end. Raises InvalidRequest if it has no place
    for it.
    """
    if not text:
        return prompt
    match prompt:
        case TextPrompt():
            return TextPrompt(text=prompt.text + text)
        case TokenPrompt():
            return TokenPrompt(token_ids=(*prompt.token_ids, *codec.encode_plain(text)))
        case ChatPrompt():
            *before, last = prompt.messages
            if last.role != "user" or isinstance(last.content, Mapping):
                reason = f"is {last.role!r}: questions are appended to a message of the user"
                raise InvalidRequest(f"prompt.chat.messages[{len(before)}].role", reason)
            more = text if isinstance(last.content, str) else (text,)
            asked = replace(last, content=last.content + more)  # type: ignore[operator]
            return replace(prompt, messages=(*before, asked))


def label_ids(
    labels: Sequence[str], path: str, codec: TextCodec, model: ModelInfo
) -> tuple[tuple[int, ...], ...]:
    """Token ids of each label. Raises InvalidRequest, with paths below `path`."""
    found = []
    for index, label in enumerate(labels):
        ids = tuple(codec.encode_plain(label))
        if len(ids) >= model.canvas_length:
            reason = f"{len(ids)} tokens are not fewer than the {model.canvas_length} of a canvas"
            raise InvalidRequest(f"{path}[{index}]", reason)
        if codec.decode(ids) != label:
            reason = "the tokenizer cannot keep it byte for byte"
            raise InvalidRequest(f"{path}[{index}]", reason)
        found.append(ids)
    return tuple(found)


def canvas_length(labels: Sequence[Sequence[int]], model: ModelInfo) -> int:
    """The narrowest canvas that holds each label and an end token behind it."""
    positions = max(map(len, labels)) + 1
    whole = -(-positions // CANVAS_MULTIPLE) * CANVAS_MULTIPLE
    return min(whole, model.canvas_length)


def probabilities(log_probabilities: Sequence[float], *, temperature: float) -> tuple[float, ...]:
    """Shares that sum to 1, sharper below temperature 1 and flatter above."""
    highest = max(log_probabilities)
    weights = [math.exp((value - highest) / temperature) for value in log_probabilities]
    total = math.fsum(weights)
    return tuple(weight / total for weight in weights)


class SharedPrompts:
    """Token ids of prompts that begin alike; what each shares with the first is kept once."""

    def __init__(self) -> None:
        self._first: tuple[int, ...] = ()
        self._rests: list[tuple[int, tuple[int, ...]]] = []
        """How much of the first each begins with, and what follows."""
        self.token_count = 0
        """Of all prompts."""

    def append(self, ids: tuple[int, ...]) -> None:
        """Adds a prompt."""
        if not self._rests:
            self._first = ids
        most = min(len(self._first), len(ids))
        shared = bisect_left(
            range(most), True, key=lambda place: self._first[: place + 1] != ids[: place + 1]
        )
        self._rests.append((shared, ids[shared:]))
        self.token_count += len(ids)

    def __getitem__(self, index: int) -> tuple[int, ...]:
        """The prompt at `index`, whole."""
        shared, rest = self._rests[index]
        return self._first[:shared] + rest
