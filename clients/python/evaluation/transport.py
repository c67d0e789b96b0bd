"""How a question reaches a model: today over gRPC, through the asyncio client.

Another door to the same server needs no more than another `Transport`.
"""

from __future__ import annotations

from typing import Protocol

from palimpsest.aio import AsyncClient
from palimpsest.errors import ServerError
from palimpsest.evaluation.items import Item
from palimpsest.evaluation.matchers import Answer, Call
from palimpsest.events import Commit, Completed, Started
from palimpsest.requests import NO_DRAFTS, Sampling
from palimpsest.streams import AsyncStream


class Transport(Protocol):
    """Asks one question. Knows nothing of right and wrong."""

    async def answer(self, item: Item, *, seed: int) -> Answer:
        """What the model answers. Raises the errors of `palimpsest.errors`."""
        ...


class GrpcTransport:
    """Asks over gRPC."""

    def __init__(self, client: AsyncClient, sampling: Sampling) -> None:
        """`sampling` holds for every item; seed and length are each item's own."""
        self._client = client
        self._sampling = sampling

    async def answer(self, item: Item, *, seed: int) -> Answer:
        """What the model answers. Raises the errors of `palimpsest.errors`."""
        sampling = self._sampling | Sampling(seed=seed, max_output_tokens=item.max_output_tokens)
        # Streamed, as only a stream tells the steps of each canvas.
        async with self._client.stream(
            messages=item.conversation,
            preview=NO_DRAFTS,
            tools=item.tools,
            enable_thinking=item.enable_thinking,
            **sampling,
        ) as stream:
            return await _collected(stream)


async def _collected(stream: AsyncStream) -> Answer:
    canvas_length = 0
    commits: list[Commit] = []
    async for event in stream:
        match event:
            case Started():
                canvas_length = event.canvas_length
            case Commit():
                commits.append(event)
            case Completed():
                return _answer(canvas_length, commits, event)
    raise ServerError("the stream ended without saying that the answer is complete")


def _answer(canvas_length: int, commits: list[Commit], completed: Completed) -> Answer:
    usage, speeds = completed.usage, completed.speeds
    calls = [call for commit in commits for call in commit.tool_calls]
    return Answer(
        text="".join(commit.text_delta for commit in commits),
        thought="".join(commit.thought_delta for commit in commits),
        tool_calls=tuple(Call(name=call.name, arguments=call.arguments) for call in calls),
        finish_reason=completed.finish_reason,
        canvas_steps=tuple(commit.steps for commit in commits),
        canvas_length=canvas_length,
        prompt_tokens=usage.prompt_tokens,
        output_tokens=usage.output_tokens,
        thinking_tokens=usage.thinking_tokens,
        output_tokens_per_second=speeds.output_tokens_per_second,
        effective_tokens_per_second=speeds.effective_tokens_per_second,
    )
