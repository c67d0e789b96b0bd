"""The output of a response: its items, and the events by which each is opened, written and closed.

Events lack their sequence numbers, which count over the whole stream.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Protocol

from palimpsest.server.exchange import Commit
from palimpsest.server.openai.answers import positions
from palimpsest.server.openai.logprobs import TokenTexts, chat_logprobs
from palimpsest.server.prompts import ToolCall

Json = dict[str, Any]


class _Text(Protocol):
    """An item that is written piece by piece."""

    item: Json
    event: str
    """What its deltas are called."""

    def opened_part(self) -> Json: ...


class _Message:
    event = "response.output_text"

    def __init__(self, identifier: str) -> None:
        self.item: Json = {"id": identifier, "type": "message", "role": "assistant", "content": []}

    def opened_part(self) -> Json:
        return {"type": "output_text", "text": "", "annotations": [], "logprobs": []}


class _Reasoning:
    event = "response.reasoning_text"

    def __init__(self, identifier: str) -> None:
        self.item: Json = {"id": identifier, "type": "reasoning", "summary": [], "content": []}

    def opened_part(self) -> Json:
        return {"type": "reasoning_text", "text": ""}


class Output:
    """Of one response."""

    def __init__(self, suffix: str, texts: TokenTexts | None) -> None:
        """`suffix` makes ids of items unique; `texts` is None unless log-probabilities were asked
        for."""
        self.items: list[Json] = []
        """Those that are whole."""
        self._suffix = suffix
        self._texts = texts
        self._open: _Text | None = None

    def write(self, commit: Commit) -> Iterator[Json]:
        """What a canvas adds."""
        if commit.thought_delta:
            yield from self._extend(_Reasoning, "rs", commit.thought_delta, None)
        if commit.text_delta:
            yield from self._extend(_Message, "msg", commit.text_delta, self._logprobs(commit))
        for call in commit.tool_calls:
            yield from self._close("completed")
            yield from self._call(call)

    def end(self, status: str) -> Iterator[Json]:
        """Close what is open, with `status`: `completed` or `incomplete`."""
        if self._open is None and not self.items:
            yield from self._begin(_Message(self._id("msg")))
        yield from self._close(status)

    def _extend(
        self,
        kind: type[_Message | _Reasoning],
        prefix: str,
        delta: str,
        logprobs: list[Json] | None,
    ) -> Iterator[Json]:
        if not isinstance(self._open, kind):
            yield from self._close("completed")
            yield from self._begin(kind(self._id(prefix)))
        assert self._open is not None
        (part,) = self._open.item["content"]
        part["text"] += delta
        told = {} if logprobs is None else {"logprobs": logprobs}
        for name, more in told.items():
            part[name] += more
        yield self._event(f"{self._open.event}.delta", content_index=0, delta=delta, **told)

    def _begin(self, text: _Text) -> Iterator[Json]:
        self._open = text
        yield self._item_event("added", {**text.item, "status": "in_progress"})
        part = text.opened_part()
        yield self._event("response.content_part.added", content_index=0, part=dict(part))
        text.item["content"].append(part)

    def _close(self, status: str) -> Iterator[Json]:
        if self._open is None:
            return
        (part,) = self._open.item["content"]
        told = {name: part[name] for name in ("text", "logprobs") if name in part}
        yield self._event(f"{self._open.event}.done", content_index=0, **told)
        yield self._event("response.content_part.done", content_index=0, part=part)
        item = {**self._open.item, "status": status}
        yield self._item_event("done", item)
        self.items.append(item)
        self._open = None

    def _call(self, call: ToolCall) -> Iterator[Json]:
        arguments = json.dumps(call.arguments, ensure_ascii=False)
        item = {"id": self._id("fc"), "type": "function_call", "call_id": call.id}
        item |= {"name": call.name, "arguments": ""}
        yield self._item_event("added", {**item, "status": "in_progress"})
        about = {"item_id": item["id"], "output_index": len(self.items)}
        kind = "response.function_call_arguments"
        yield {"type": f"{kind}.delta", **about, "delta": arguments}
        yield {"type": f"{kind}.done", **about, "name": call.name, "arguments": arguments}
        item |= {"arguments": arguments, "status": "completed"}
        yield self._item_event("done", item)
        self.items.append(item)

    def _item_event(self, what: str, item: Json) -> Json:
        kind = f"response.output_item.{what}"
        return {"type": kind, "output_index": len(self.items), "item": item}

    def _event(self, kind: str, **members: object) -> Json:
        """About the open item."""
        assert self._open is not None
        about = {"item_id": self._open.item["id"], "output_index": len(self.items)}
        return {"type": kind, **about, **members}

    def _id(self, prefix: str) -> str:
        return f"{prefix}_{self._suffix}_{len(self.items)}"

    def _logprobs(self, commit: Commit) -> list[Json]:
        if self._texts is None:
            return []
        return chat_logprobs(positions(commit), self._texts)["content"]
