"""What a call's answers come to: text, counts, how they ended, and how fast they were."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from palimpsest.engine.api import FinishReason
from palimpsest.server.exchange import AnswerEvent, Commit, Completed
from palimpsest.server.openai.logprobs import Position
from palimpsest.server.prompts import ToolCall


@dataclass(slots=True)
class Answer:
    """One candidate, whole once it is completed."""

    text: str = ""
    thought: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list)
    positions: list[Position] = field(default_factory=list)
    completed: Completed | None = None

    def add(self, commit: Commit) -> None:
        self.text += commit.text_delta
        self.thought += commit.thought_delta
        self.tool_calls += commit.tool_calls
        self.positions += positions(commit)


def positions(commit: Commit) -> list[Position]:
    """Empty unless log-probabilities were asked for."""
    canvas = commit.canvas
    return list(zip(canvas.token_ids, canvas.logprobs, strict=False))


async def first_call_only(events: AsyncIterator[AnswerEvent]) -> AsyncIterator[AnswerEvent]:
    """The events without what an answer calls after its first call."""
    called: set[int] = set()
    async for event in events:
        if isinstance(event, Commit) and event.tool_calls:
            kept = () if event.candidate_index in called else event.tool_calls[:1]
            called.add(event.candidate_index)
            event = replace(event, tool_calls=kept)
        yield event


def finish_reason(completed: Completed) -> str:
    """`stop`, `length` or `tool_calls`."""
    if completed.stopped:
        return "stop"
    if completed.reason is FinishReason.LENGTH:
        return "length"
    called = completed.called_tools and completed.reason is FinishReason.STOP
    return "tool_calls" if called else "stop"


def usage(endings: Iterable[Completed]) -> dict[str, Any]:
    """Of all answers of a call; they share the prompt."""
    counts = [ending.usage for ending in endings]
    prompt, output = counts[0].prompt_tokens, sum(count.output_tokens for count in counts)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": counts[0].cached_prompt_tokens},
        "completion_tokens_details": {
            "reasoning_tokens": sum(ending.thinking_tokens for ending in endings)
        },
    }
