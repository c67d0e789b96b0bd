"""Questions with labels and their scores, for both clients. Knows no channel and no call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from palimpsest.errors import InvalidRequest, invalid_field
from palimpsest.events import Usage
from palimpsest.prompts import PromptSource, prompt_of
from palimpsest.responses import seconds_of, usage_of
from palimpsest.v1 import decide_pb2, prompt_pb2


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question with its possible answers."""

    text: str = ""
    """Appended to the shared prompt as it is; empty, the prompt is the question."""
    labels: Sequence[str]
    """The answers to score, 2 to 256."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelScore:
    """How probable a label is."""

    label: str
    log_probability: float
    """That the answer is this label and nothing else, in nats, over all answers there could be."""
    probability: float
    """Share among the labels of its question, calibrated; these sum to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The scores of one question."""

    scores: tuple[LabelScore, ...]
    """One for each label, in their order."""
    best_index: int

    @property
    def best(self) -> LabelScore:
        """The most probable label; the first of equals."""
        return self.scores[self.best_index]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """The scores of all questions of a call."""

    request_id: str
    model: str
    decisions: tuple[Decision, ...]
    """One for each question, in their order."""
    seed: int
    """The seed in use: sent again with the same questions, it gives the same scores."""
    usage: Usage
    """Over all questions."""
    duration_s: float
    """From the request's acceptance to the last score."""


def decide_request(
    source: PromptSource,
    questions: Sequence[Question | str],
    *,
    labels: Sequence[str],
    model: str,
    **options: float | None,
) -> decide_pb2.DecideRequest:
    """The request to score labels: each question's own, or `labels` where it is text alone.
    `options` are further fields, None leaves them unset. Raises InvalidRequest.
    """
    request = decide_pb2.DecideRequest(
        model=model, prompt=_prompt(source), questions=_questions(questions, labels)
    )
    for name, value in options.items():
        if value is None:
            continue
        try:
            setattr(request, name, value)
        except (ValueError, TypeError) as error:
            raise invalid_field(name, f"{value!r} does not fit: {error}") from error
    return request


def decisions_of(response: decide_pb2.DecideResponse) -> Decisions:
    """The scores in a response."""
    return Decisions(
        request_id=response.request_id,
        model=response.model,
        decisions=tuple(map(_decision, response.decisions)),
        seed=response.seed,
        usage=usage_of(response.usage),
        duration_s=seconds_of(response.duration),
    )


def _decision(decision: decide_pb2.Decision) -> Decision:
    scores = (
        LabelScore(
            label=score.label,
            log_probability=score.log_probability,
            probability=score.probability,
        )
        for score in decision.scores
    )
    return Decision(scores=tuple(scores), best_index=decision.best_index)


def _prompt(source: PromptSource) -> prompt_pb2.Prompt:
    try:
        return prompt_of(source)
    except InvalidRequest as error:
        # here the prompt is a field of the request itself
        [violation] = error.violations
        field = violation.field.removeprefix("input.")
        raise invalid_field(field, violation.description) from None


def _questions(
    questions: Sequence[Question | str], labels: Sequence[str]
) -> Iterator[decide_pb2.Question]:
    for index, question in enumerate(questions):
        asked = question
        if isinstance(asked, str):
            asked = Question(text=asked, labels=labels)
        path = f"questions[{index}]"
        if isinstance(asked.labels, str):
            # its letters would be taken one by one
            raise invalid_field(f"{path}.labels", f"{asked.labels!r} is one text, not several")
        try:
            yield decide_pb2.Question(text=asked.text, labels=asked.labels)
        except (ValueError, TypeError) as error:
            raise invalid_field(path, f"{asked} does not fit: {error}") from error
