"""The layout of chat completions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from palimpsest.server.exchange import Commit, Completed
from palimpsest.server.openai.answers import Answer, finish_reason, positions
from palimpsest.server.openai.logprobs import Position, TokenTexts, chat_logprobs
from palimpsest.server.prompts import ToolCall


class ChatLayout:
    """Of one call."""

    id_prefix = "chatcmpl"
    whole_object = "chat.completion"
    chunk_object = "chat.completion.chunk"

    def __init__(self, texts: TokenTexts | None) -> None:
        """`texts` is None unless log-probabilities were asked for."""
        self._texts = texts
        self._calls: dict[int, int] = {}
        """How many calls of each candidate were told."""

    def opening(self, index: int) -> dict[str, Any]:
        """The first choice of a candidate in a stream."""
        return _choice(index, {"role": "assistant", "content": ""})

    def part(self, commit: Commit) -> dict[str, Any] | None:
        """What a canvas adds; None if nothing."""
        delta: dict[str, Any] = {}
        if commit.thought_delta:
            delta["reasoning_content"] = commit.thought_delta
        if commit.text_delta:
            delta["content"] = commit.text_delta
        if commit.tool_calls:
            told = self._calls.get(commit.candidate_index, 0)
            calls = enumerate(map(_call, commit.tool_calls), told)
            delta["tool_calls"] = [{"index": index, **call} for index, call in calls]
            self._calls[commit.candidate_index] = told + len(commit.tool_calls)
        logprobs = self._logprobs(positions(commit))
        if not delta and logprobs is None:
            return None
        return _choice(commit.candidate_index, delta, logprobs=logprobs)

    def ending(self, completed: Completed) -> dict[str, Any]:
        """The last choice of a candidate in a stream."""
        return _choice(completed.candidate_index, {}, finish_reason(completed))

    def whole(self, index: int, answer: Answer) -> dict[str, Any]:
        """A candidate in one piece."""
        assert answer.completed is not None
        message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
        if answer.thought:
            message["reasoning_content"] = answer.thought
        if answer.tool_calls:
            message["tool_calls"] = [_call(call) for call in answer.tool_calls]
            message["content"] = answer.text or None
        return {
            "index": index,
            "message": message,
            "logprobs": self._logprobs(answer.positions),
            "finish_reason": finish_reason(answer.completed),
        }

    def _logprobs(self, positions: Sequence[Position]) -> dict[str, Any] | None:
        return None if self._texts is None else chat_logprobs(positions, self._texts)


def _choice(
    index: int,
    delta: dict[str, Any],
    finish_reason: str | None = None,
    *,
    logprobs: dict[str, Any] | None = None,
) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}


def _call(call: ToolCall) -> dict[str, Any]:
    arguments = json.dumps(call.arguments, ensure_ascii=False)
    function = {"name": call.name, "arguments": arguments}
    return {"id": call.id, "type": "function", "function": function}
