"""From questions with labels to their scores: admission, tokens, as many at once as run.

The first question goes ahead alone until its prompt is read; the others then find what they share
with it in the engine's cache. Knows no wire format and no process.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace

from palimpsest.engine.api import (
    CanvasPlan,
    Encoded,
    Finished,
    InvalidRequest,
    ModelInfo,
    Picture,
    Sampling,
    Scored,
    Submit,
    Usage,
)
from palimpsest.server.call import Call
from palimpsest.server.gate import Gate
from palimpsest.server.generation import Generator
from palimpsest.server.merging import merge
from palimpsest.server.parts import opened_thought
from palimpsest.server.questions import (
    Decided,
    Decision,
    Inquiry,
    SharedPrompts,
    ask,
    canvas_length,
    check,
    label_ids,
    probabilities,
    without_thinking,
)
from palimpsest.server.supervisor import Supervisor

LabelIds = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class _Score:
    """What the engine says of one question."""

    log_probabilities: tuple[float, ...]
    usage: Usage
    end_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What the engine is given for the questions of a call."""

    call: Call
    model: ModelInfo
    sampling: Sampling
    labels: Sequence[LabelIds]
    prompts: SharedPrompts
    pictures: tuple[Picture, ...]
    """Of what all questions share, which stands first."""

    def submit(self, index: int, request_id: int) -> Submit:
        """The request for the question at `index`."""
        labels = self.labels[index]
        length = canvas_length(labels, self.model)
        return Submit(
            request_id=request_id,
            name=self.call.request_id,
            candidate_index=index,
            prompt_ids=self.prompts[index],
            pictures=self.pictures,
            sampling=self.sampling,
            drafts=False,
            canvas=CanvasPlan(read_only=True, canvas_length=length),
            labels=labels,
        )


class Decider:
    """Scores labels with the model of a generator."""

    def __init__(self, generator: Generator, engine: Supervisor, gate: Gate) -> None:
        self._generator = generator
        self._engine = engine
        self._gate = gate

    async def decide(self, inquiry: Inquiry, call: Call) -> Decided:
        """The scores of all questions. Cancelling it frees the engine at its next step.

        Raises InvalidRequest (field paths start at the request), ModelNotFound, Overloaded unless
        there is a place for each question that runs at once, EngineStopped, and TimeoutError at
        the call's deadline.
        """
        model = self._generator.model(inquiry.model)
        check(inquiry)
        width = min(len(inquiry.questions), model.capacity.max_num_seqs)
        hold = self._generator.hold(inquiry.prompt)
        with self._gate.enter(), hold, self._engine.reserve(width) as request_ids:
            plan = await self._plan(inquiry, model, call)
            call.describe(operation="decide", model=model, prompt_tokens=plan.prompts.token_count)
            scores = await self._scores(plan, request_ids, width=width)
        return _decided(inquiry, plan, scores)

    async def _plan(self, inquiry: Inquiry, model: ModelInfo, call: Call) -> _Plan:
        """Reads everything, so that what cannot be answered is refused before anything runs."""
        codec, shared = await self._generator.loaded_codec(), without_thinking(inquiry.prompt)
        shared = await self._generator.look(model, shared, call)
        pictures: tuple[Picture, ...] = ()
        known: dict[tuple[str, ...], LabelIds] = {}
        prompts = SharedPrompts()
        for index, question in enumerate(inquiry.questions):
            if question.labels not in known:
                path = f"questions[{index}].labels"
                known[question.labels] = await asyncio.to_thread(
                    label_ids, question.labels, path, codec, model
                )
            prompt = await asyncio.to_thread(ask, shared, question.text, codec)
            tokens = await self._generator.tokenise(model, prompt)
            prompt_ids, pictures = tokens.ids, tokens.pictures
            if opened_thought(codec, prompt_ids) is not None:
                reason = "ends within a thought, and labels are scored at the start of an answer"
                raise InvalidRequest("prompt", reason)
            length = canvas_length(known[question.labels], model)
            _check_context(len(prompt_ids), length, model, f"questions[{index}].text")
            prompts.append(prompt_ids)
        return _Plan(
            call=call,
            model=model,
            sampling=_sampling(inquiry, model),
            labels=[known[question.labels] for question in inquiry.questions],
            prompts=prompts,
            pictures=pictures,
        )

    async def _scores(self, plan: _Plan, request_ids: Iterator[int], *, width: int) -> list[_Score]:
        """Of each question; `width` of them run at a time."""
        count = len(plan.labels)
        later, shared_is_read = iter(range(width, count)), asyncio.Event()
        lines = [
            self._line(plan, itertools.chain([first], later), request_ids, shared_is_read)
            for first in range(width)
        ]
        found: dict[int, _Score] = {}
        async with contextlib.aclosing(merge(lines)) as scores:
            async for _, (index, score) in scores:
                found[index] = score
        return [found[index] for index in range(count)]

    async def _line(
        self,
        plan: _Plan,
        indices: Iterable[int],
        request_ids: Iterator[int],
        shared_is_read: asyncio.Event,
    ) -> AsyncGenerator[tuple[int, _Score], None]:
        """The scores of questions, one question after another."""
        for index in indices:
            if index > 0:
                await shared_is_read.wait()
            yield index, await self._score(plan, index, next(request_ids), shared_is_read)

    async def _score(
        self, plan: _Plan, index: int, request_id: int, shared_is_read: asyncio.Event
    ) -> _Score:
        scored: Scored | None = None
        with self._engine.submit(
            plan.submit(index, request_id),
            pace=None,
            deadline_s=plan.call.deadline_s,
            observe=plan.call.answer().observe,
        ) as mailbox:
            async for delivery in mailbox:
                match delivery.event:
                    case Encoded():
                        shared_is_read.set()
                    case Scored():
                        scored = delivery.event
                    case Finished(usage=usage) if scored is not None:
                        return _Score(scored.log_probabilities, usage, scored.end_ns)
        raise AssertionError("a request with labels ends in their scores or an error")


def _sampling(inquiry: Inquiry, model: ModelInfo) -> Sampling:
    """The checkpoint's settings, with exactly as many steps as are asked for."""
    steps = inquiry.denoising_steps
    return replace(
        model.defaults,
        seed=secrets.randbits(64) if inquiry.seed is None else inquiry.seed,
        max_denoising_steps=steps,
        # more than can be stable before the last step is done
        stability_threshold=steps,
    )


def _check_context(prompt_tokens: int, length: int, model: ModelInfo, path: str) -> None:
    if prompt_tokens + length > model.max_context_tokens:
        reason = (
            f"{prompt_tokens} tokens of prompt and question and a canvas of {length} are more than "
            f"the context of {model.max_context_tokens} tokens"
        )
        raise InvalidRequest(path, reason)


def _decided(inquiry: Inquiry, plan: _Plan, scores: Sequence[_Score]) -> Decided:
    temperature = inquiry.calibration_temperature
    return Decided(
        request_id=plan.call.request_id,
        model=plan.model,
        decisions=tuple(
            Decision(
                labels=question.labels,
                log_probabilities=score.log_probabilities,
                probabilities=probabilities(score.log_probabilities, temperature=temperature),
            )
            for question, score in zip(inquiry.questions, scores, strict=True)
        ),
        seed=plan.sampling.seed,
        usage=_total([score.usage for score in scores]),
        duration_ns=max(score.end_ns for score in scores) - plan.call.accepted_ns,
    )


def _total(usages: Sequence[Usage]) -> Usage:
    names = [field.name for field in fields(Usage)]
    return Usage(**{name: sum(getattr(usage, name) for usage in usages) for name in names})
