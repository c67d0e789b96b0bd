"""The events of a call as a response: one object, or a stream of events about it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from typing import Any

from palimpsest.server.exchange import AnswerEvent, Commit, Completed, Snapshot, Started
from palimpsest.server.openai.answers import finish_reason
from palimpsest.server.openai.drafts import draft, report
from palimpsest.server.openai.logprobs import TokenTexts
from palimpsest.server.openai.requests import Asked
from palimpsest.server.openai.response_items import Output
from palimpsest.server.openai.sending import Reply

DRAFT = "palimpsest.draft"
"""An event of ours; clients that do not know it pass over it."""
_DEFAULTS: dict[str, Any] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "store": False,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
}
"""What a response says of members that its body leaves out."""


async def answer_with_response(
    events: AsyncIterator[AnswerEvent], asked: Asked, texts: TokenTexts | None, reply: Reply
) -> None:
    """Send each event as it comes, or the whole response at the end."""
    response, numbers = Response(asked, texts), itertools.count()
    async for event in events:
        for told in response.of(event):
            if asked.stream:
                numbered = {**told, "sequence_number": next(numbers)}
                await reply.event(numbered, name=told["type"])
    if asked.stream:
        await reply.end()
    else:
        await reply.whole(response.body)


class Response:
    """Comes about event by event."""

    def __init__(self, asked: Asked, texts: TokenTexts | None) -> None:
        self._asked = asked
        self._texts = texts
        self.body: dict[str, Any] = {}
        """As it is now."""

    def of(self, event: AnswerEvent) -> Iterator[dict[str, Any]]:
        """What there is to tell of it."""
        match event:
            case Started():
                self._started = event
                self._output = Output(event.request_id, self._texts)
                self.body = _opened(event, self._asked)
                yield {"type": "response.created", "response": self.body}
                yield {"type": "response.in_progress", "response": self.body}
            case Snapshot():
                yield {"type": DRAFT, "diffusion": draft(event)}
            case Commit():
                yield from self._output.write(event)
            case Completed():
                status = "incomplete" if finish_reason(event) == "length" else "completed"
                yield from self._output.end(status)
                self._end(event, status)
                yield {"type": f"response.{status}", "response": self.body}

    def _end(self, completed: Completed, status: str) -> None:
        self.body |= {"status": status, "output": self._output.items, "usage": _usage(completed)}
        if status == "incomplete":
            self.body["incomplete_details"] = {"reason": "max_output_tokens"}
        if self._asked.report:
            self.body["diffusion"] = report(self._started, [completed])


def _opened(started: Started, asked: Asked) -> dict[str, Any]:
    return {
        "id": f"resp_{started.request_id}",
        "object": "response",
        "created_at": started.accepted_ns // 10**9,
        "status": "in_progress",
        "model": started.model.name,
        "output": [],
        "error": None,
        "incomplete_details": None,
        "usage": None,
        **_DEFAULTS,
        **asked.echoed,
    }


def _usage(completed: Completed) -> dict[str, Any]:
    usage = completed.usage
    cached = {"cached_tokens": usage.cached_prompt_tokens, "cache_write_tokens": 0}
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": cached,
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": completed.thinking_tokens},
        "total_tokens": usage.prompt_tokens + usage.output_tokens,
    }
