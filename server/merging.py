"""Several async iterators as one, with nothing left behind. Knows nothing of what they carry."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import TypeVar

T = TypeVar("T")


async def merge(
    sources: Sequence[AsyncGenerator[T, None]],
) -> AsyncGenerator[tuple[int, T], None]:
    """The items of all sources as they come, each with the index of its source.

    Ends after the last source, and with the first error of one. However it ends, also when it is
    closed early, all sources are closed by then. Each is read one item ahead at most.
    """
    async with contextlib.AsyncExitStack() as closing:
        for source in sources:
            await closing.enter_async_context(contextlib.aclosing(source))
        waiting = {_next(source): index for index, source in enumerate(sources)}
        try:
            while waiting:
                done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for item in sorted(done, key=waiting.__getitem__):
                    index = waiting[item]
                    try:
                        found = item.result()
                    except StopAsyncIteration:
                        del waiting[item]
                        continue
                    yield index, found
                    del waiting[item]
                    waiting[_next(sources[index])] = index
        finally:
            for item in waiting:
                item.cancel()
            # a source can be closed only once nobody waits for it
            await asyncio.gather(*waiting, return_exceptions=True)


def _next(source: AsyncGenerator[T, None]) -> asyncio.Future[T]:
    return asyncio.ensure_future(anext(source))
