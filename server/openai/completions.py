"""The layout of completions. A thought stands beside the text; calls have no place there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from palimpsest.server.exchange import Commit, Completed
from palimpsest.server.openai.answers import Answer, finish_reason, positions
from palimpsest.server.openai.logprobs import Position, TokenTexts, completion_logprobs


class CompletionLayout:
    """Of one call."""

    id_prefix = "cmpl"
    whole_object = "text_completion"
    chunk_object = "text_completion"

    def __init__(self, texts: TokenTexts | None) -> None:
        """`texts` is None unless log-probabilities were asked for."""
        self._texts = texts
        self._offsets: dict[int, int] = {}
        """Characters of each candidate's tokens that were told."""

    def opening(self, _: int) -> None:
        """There is nothing to say before the text."""

    def part(self, commit: Commit) -> dict[str, Any] | None:
        """What a canvas adds; None if nothing."""
        index = commit.candidate_index
        logprobs = self._logprobs(index, positions(commit))
        if not (commit.text_delta or commit.thought_delta or logprobs):
            return None
        return _choice(index, commit.text_delta, commit.thought_delta, logprobs=logprobs)

    def ending(self, completed: Completed) -> dict[str, Any]:
        """The last choice of a candidate in a stream."""
        return _choice(completed.candidate_index, "", "", _reason(completed))

    def whole(self, index: int, answer: Answer) -> dict[str, Any]:
        """A candidate in one piece."""
        assert answer.completed is not None
        reason = _reason(answer.completed)
        logprobs = self._logprobs(index, answer.positions)
        return _choice(index, answer.text, answer.thought, reason, logprobs=logprobs)

    def _logprobs(self, index: int, positions: Sequence[Position]) -> dict[str, Any] | None:
        if self._texts is None:
            return None
        offset = self._offsets.get(index, 0)
        told = completion_logprobs(positions, self._texts, offset=offset)
        self._offsets[index] = offset + sum(map(len, told["tokens"]))
        return told


def _choice(
    index: int,
    text: str,
    thought: str,
    finish_reason: str | None = None,
    *,
    logprobs: dict[str, Any] | None = None,
) -> dict[str, Any]:
    thinking = {"reasoning_content": thought} if thought else {}
    ending = {"logprobs": logprobs, "finish_reason": finish_reason}
    return {"index": index, "text": text, **thinking, **ending}


def _reason(completed: Completed) -> str:
    reason = finish_reason(completed)
    return "stop" if reason == "tool_calls" else reason
