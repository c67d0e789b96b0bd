"""Several answers to one request as one stream: which seed each has, and how the stream counts."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from palimpsest.engine.api import InvalidRequest
from palimpsest.server.exchange import AnswerEvent, Started
from palimpsest.server.merging import merge

MAX_CANDIDATES = 16
SEEDS = 2**64


def check_count(count: int) -> None:
    """Raises InvalidRequest on `sampling.candidate_count`."""
    if not 1 <= count <= MAX_CANDIDATES:
        reason = f"{count} is outside 1 to {MAX_CANDIDATES}"
        raise InvalidRequest("sampling.candidate_count", reason)


def candidate_seed(seed: int, index: int) -> int:
    """The seed that gives a candidate alone; `seed` is the request's."""
    return (seed + index) % SEEDS


async def one_stream(
    answers: Sequence[AsyncGenerator[AnswerEvent, None]], seed: int
) -> AsyncGenerator[AnswerEvent, None]:
    """The events of all candidates in the order they come, counted anew, with one Started.

    Ends with the first error of one. All answers are closed when it ends or is closed.
    """
    numbers = _Numbers()
    started = False
    async with contextlib.aclosing(merge(answers)) as events:
        async for index, event in events:
            if not isinstance(event, Started):
                sequence = numbers.count(index, event.sequence)
                yield replace(event, candidate_index=index, sequence=sequence)
            elif started:
                numbers.leave_out(index, event.sequence)
            else:
                started = True
                yield replace(event, seed=seed, sequence=numbers.count(index, event.sequence))


class _Numbers:
    """From the numbers of each answer's events to those of their stream; gaps stay gaps."""

    def __init__(self) -> None:
        self._total = 0
        self._reached: dict[int, int] = {}

    def count(self, index: int, sequence: int) -> int:
        """The stream's number of an event of answer `index`."""
        self._total += sequence - self._reached.get(index, 0)
        self._reached[index] = sequence
        return self._total

    def leave_out(self, index: int, sequence: int) -> None:
        """An event that the stream does not bring, and that nobody misses."""
        self._reached[index] = sequence
