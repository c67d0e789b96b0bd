"""Asks all questions, so many at a time, and says of each how it went.

The n-th question of a skill, from 0, is answered with seed + n whatever else is in flight: a run is
repeatable, and a part of a run gives the answers of the whole.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from palimpsest.errors import Overloaded, PalimpsestError, Unavailable
from palimpsest.evaluation.items import Item
from palimpsest.evaluation.matchers import Answer, matches
from palimpsest.evaluation.transport import Transport

WAITS_S = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Before each further try where the server does not say how long to wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one question went."""

    item: Item
    seed: int
    answer: Answer | None
    """None where there is an `error`."""
    error: PalimpsestError | None
    right: bool
    """Whether the answer is there and the right one."""
    started_s: float
    """When it was first sent; on the same clock as `ended_s`, which has no meaning beyond that."""
    ended_s: float


async def ask_all(
    items: Sequence[Item],
    transport: Transport,
    *,
    concurrency: int,
    seed: int,
    report: Callable[[Outcome], None],
) -> None:
    """Asks every item, `concurrency` at a time, and calls `report` with each as it ends.

    An item that fails is reported like any other and ends nothing.
    """
    waiting = _seeded(items, seed)

    async def work() -> None:
        for item, item_seed in waiting:
            report(await _outcome(item, transport, item_seed))

    async with asyncio.TaskGroup() as group:
        for _ in range(min(concurrency, len(items))):
            group.create_task(work())


def _seeded(items: Sequence[Item], seed: int) -> Iterator[tuple[Item, int]]:
    asked: Counter[str] = Counter()
    for item in items:
        yield item, seed + asked[item.skill]
        asked[item.skill] += 1


async def _outcome(item: Item, transport: Transport, seed: int) -> Outcome:
    started_s = time.perf_counter()
    answer = error = None
    try:
        answer = await _answer(item, transport, seed)
    except PalimpsestError as failure:
        error = failure
    return Outcome(
        item=item,
        seed=seed,
        answer=answer,
        error=error,
        right=answer is not None and matches(answer, item.matcher, item.expected),
        started_s=started_s,
        ended_s=time.perf_counter(),
    )


async def _answer(item: Item, transport: Transport, seed: int) -> Answer:
    for wait_s in WAITS_S:
        try:
            return await transport.answer(item, seed=seed)
        except (Overloaded, Unavailable) as error:
            hint_s = error.retry_after_s
            await asyncio.sleep(wait_s if hint_s is None else hint_s)
    return await transport.answer(item, seed=seed)
