"""The events of a call as one object or as a stream of chunks, in either API's layout."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Protocol

from palimpsest.server.exchange import AnswerEvent, Commit, Completed, Snapshot, Started
from palimpsest.server.openai.answers import Answer, usage
from palimpsest.server.openai.drafts import draft, report
from palimpsest.server.openai.logprobs import TokenTexts
from palimpsest.server.openai.requests import Asked
from palimpsest.server.openai.sending import DONE, Reply


class Layout(Protocol):
    """How an API lays out the choices of one call."""

    @property
    def id_prefix(self) -> str: ...
    @property
    def whole_object(self) -> str: ...
    @property
    def chunk_object(self) -> str: ...
    def opening(self, index: int, /) -> dict[str, Any] | None: ...
    def part(self, commit: Commit) -> dict[str, Any] | None: ...
    def ending(self, completed: Completed) -> dict[str, Any]: ...
    def whole(self, index: int, answer: Answer) -> dict[str, Any]: ...


async def answer_in(
    layout: Callable[[TokenTexts | None], Layout],
    events: AsyncIterator[AnswerEvent],
    asked: Asked,
    texts: TokenTexts | None,
    reply: Reply,
) -> None:
    """Answer with choices, laid out by `layout`."""
    answer = answer_stream if asked.stream else answer_whole
    await answer(events, asked, layout(texts), reply)


async def answer_whole(
    events: AsyncIterator[AnswerEvent], asked: Asked, layout: Layout, reply: Reply
) -> None:
    """Wait for all events, then send one object."""
    answers: dict[int, Answer] = defaultdict(Answer)
    started = None
    async for event in events:
        match event:
            case Started():
                started = event
            case Commit():
                answers[event.candidate_index].add(event)
            case Completed():
                answers[event.candidate_index].completed = event
    assert started is not None, "an answer begins with Started"
    endings = [one.completed for one in answers.values() if one.completed is not None]
    choices = [layout.whole(index, answers[index]) for index in sorted(answers)]
    body = {**_head(started, layout.whole_object, layout), "choices": choices}
    body["usage"] = usage(endings)
    if asked.report:
        body["diffusion"] = report(started, endings)
    await reply.whole(body)


async def answer_stream(
    events: AsyncIterator[AnswerEvent], asked: Asked, layout: Layout, reply: Reply
) -> None:
    """Send each event as it comes."""
    chunks = Chunks(asked, layout)
    async for event in events:
        for chunk in chunks.of(event):
            await reply.event(chunk)
    for chunk in chunks.last():
        await reply.event(chunk)
    await reply.event(DONE)
    await reply.end()


class Chunks:
    """Turns the events of one call into chunks."""

    def __init__(self, asked: Asked, layout: Layout) -> None:
        self._asked = asked
        self._layout = layout
        self._endings: list[Completed] = []
        self._head: dict[str, Any] = {}
        self._started: Started | None = None

    def of(self, event: AnswerEvent) -> Iterator[dict[str, Any]]:
        match event:
            case Started():
                self._started = event
                self._head = _head(event, self._layout.chunk_object, self._layout)
                count = self._asked.message.input.sampling.candidate_count or 1
                choices = [self._layout.opening(index) for index in range(count)]
            case Snapshot():
                yield self._chunk([], diffusion=draft(event))
                return
            case Commit():
                choices = [self._layout.part(event)]
            case Completed():
                self._endings.append(event)
                choices = [self._layout.ending(event)]
        for choice in choices:
            if choice is not None:
                yield self._chunk([choice])

    def last(self) -> Iterator[dict[str, Any]]:
        """What follows the end of all answers."""
        assert self._started is not None, "an answer begins with Started"
        if self._asked.report:
            yield self._chunk([], diffusion=report(self._started, self._endings))
        if self._asked.include_usage:
            yield self._chunk([], usage=usage(self._endings))

    def _chunk(self, choices: list[dict[str, Any]], **more: object) -> dict[str, Any]:
        counted = {"usage": None} if self._asked.include_usage else {}
        return {**self._head, "choices": choices, **counted, **more}


def _head(started: Started, kind: str, layout: Layout) -> dict[str, Any]:
    return {
        "id": f"{layout.id_prefix}-{started.request_id}",
        "object": kind,
        "created": started.accepted_ns // 10**9,
        "model": started.model.name,
    }
