"""Several async iterators as one, with nothing left behind. Knows nothing of what they carry."""

from __future__ import annotations

import asyncio
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
    waiting: dict[asyncio.Future[T], int] = {}
    try:
        for index, source in enumerate(sources):
            waiting[asyncio.ensure_future(anext(source))] = index
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
                waiting[asyncio.ensure_future(anext(sources[index]))] = index
    finally:
        for item in waiting:
            item.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        for source in sources:
            await source.aclose()
