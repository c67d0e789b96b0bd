"""Several async iterators as one: order, errors, and that nothing is left running."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence

import pytest

from palimpsest.server.merging import merge


class Sources:
    """Numbers, one for each release of a semaphore; knows which sources are still open."""

    def __init__(self, count: int) -> None:
        self.open: set[int] = set()
        self.more = [asyncio.Semaphore(0) for _ in range(count)]
        self.streams = [self._stream(index) for index in range(count)]

    async def _stream(self, index: int) -> AsyncGenerator[int, None]:
        self.open.add(index)
        try:
            for number in range(1_000):
                await self.more[index].acquire()
                yield number
        finally:
            # frees what it holds only after another turn of the loop
            await asyncio.sleep(0)
            self.open.discard(index)


async def numbers(count: int, error: Exception | None = None) -> AsyncGenerator[int, None]:
    for number in range(count):
        yield number
    if error is not None:
        raise error


def nothing_runs() -> bool:
    return asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("counts", [[], [0], [3], [3, 0, 5]])
async def test_every_item_of_every_source_comes_once_and_in_its_order(
    counts: Sequence[int],
) -> None:
    merged = [item async for item in merge([numbers(count) for count in counts])]
    for index, count in enumerate(counts):
        assert [item for source, item in merged if source == index] == list(range(count))
    assert len(merged) == sum(counts)
    assert nothing_runs()


async def test_a_source_that_has_something_does_not_wait_for_one_that_has_not() -> None:
    sources = Sources(2)
    sources.more[1].release()
    async with contextlib.aclosing(merge(sources.streams)) as merged:
        assert await anext(merged) == (1, 0)
        sources.more[0].release()
        assert await anext(merged) == (0, 0)
        sources.more[0].release()
        assert await anext(merged) == (0, 1)


async def test_sources_that_are_ready_take_turns() -> None:
    async with contextlib.aclosing(merge([numbers(9), numbers(9)])) as merged:
        assert [(await anext(merged))[0] for _ in range(6)] == [0, 1] * 3


async def test_a_consumer_that_stops_early_leaves_no_source_open() -> None:
    sources = Sources(3)
    for more in sources.more:
        more.release()
    async with contextlib.aclosing(merge(sources.streams)) as merged:
        await anext(merged)
        assert sources.open == {0, 1, 2}
    assert sources.open == set()
    assert nothing_runs()


async def test_a_consumer_that_is_cancelled_while_it_waits_leaves_no_source_open() -> None:
    sources = Sources(2)
    sources.more[0].release()
    waiting = asyncio.Event()

    async def consume() -> None:
        async with contextlib.aclosing(merge(sources.streams)) as merged:
            async for _ in merged:
                waiting.set()

    consumer = asyncio.ensure_future(consume())
    await waiting.wait()
    consumer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await consumer
    assert sources.open == set()
    assert nothing_runs()


async def test_an_error_of_one_source_ends_all_after_what_came_before_it() -> None:
    sources = Sources(1)
    merged = merge([*sources.streams, numbers(2, ValueError("broken"))])
    items = []
    with pytest.raises(ValueError, match="broken"):
        async for item in merged:
            items.append(item)
    assert items == [(1, 0), (1, 1)]
    assert sources.open == set()
    assert nothing_runs()


async def test_errors_of_several_sources_at_once_raise_the_first_and_leave_none_unheard() -> None:
    with pytest.raises(ValueError, match="first"):
        async for _ in merge([numbers(0, ValueError("first")), numbers(0, KeyError("second"))]):
            pass
    assert nothing_runs()


async def test_a_merge_that_was_never_read_opens_nothing() -> None:
    sources = Sources(1)
    await merge(sources.streams).aclose()
    assert sources.open == set()
    await sources.streams[0].aclose()
