"""One stream's mailbox: commits are a queue and never lost, drafts are latest-wins and paced.

The engine's side (`put`, `fail`) never waits; the one reader iterates. Knows events only, no wire
and no engine process.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from palimpsest.engine.api import (
    Committed,
    Encoded,
    EngineError,
    Failed,
    Finished,
    RequestEvent,
    Scored,
    Stepped,
)

Observe = Callable[[RequestEvent], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Which drafts a caller wants to see."""

    every_n_steps: int
    """Offer the first step of a canvas and every n-th after it; at least 1."""
    max_rate_hz: float
    """Drafts per second at most; above 0."""

    def offers(self, step: int) -> bool:
        return (step - 1) % self.every_n_steps == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An event as its reader gets it."""

    sequence: int
    """Counts everything offered, from 1; a gap means that drafts were skipped."""
    event: Encoded | Stepped | Committed | Scored | Finished
    last_step: Stepped | None = None
    """With a Committed: the last step of its canvas, without its draft."""
    final: bool = False
    """With a Committed: nothing but Finished follows."""


class Mailbox:
    """Events of one request on their way to one reader; use it inside a running event loop.

    Iterating yields the prefill's Encoded, every Committed, Scored and Finished in order, and
    between them the newest draft (a Stepped) when its time has come; after a commit no draft of
    that canvas. It stops after Finished and raises what `fail` was given once everything before it
    was read.
    `observe` sees every event at once, also what readers do not.
    """

    def __init__(self, pace: Pace | None, observe: Observe | None = None) -> None:
        self._pace = pace
        self._observe = observe
        self._loop = asyncio.get_running_loop()
        self._sequence = 0
        self._queue: deque[Delivery | Exception] = deque()
        self._draft: Delivery | None = None
        self._next_draft_s = self._loop.time()
        self.last_step: Stepped | None = None
        """The newest, delivered or not."""
        self.drafts_sent = 0
        self.drafts_skipped = 0
        """Drafts on offer that something newer replaced."""
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False

    def put(self, event: RequestEvent) -> None:
        """Take an event from the engine; what comes after the last one is dropped."""
        if self._ended:
            return
        if self._observe is not None:
            self._observe(event)
        match event:
            case Stepped():
                self._put_step(event)
            case Encoded(canvas_index=None) | Scored():
                self._put_lossless(self._number(event))
            case Encoded():
                pass  # Of a commit: readers had its tokens before.
            case Committed():
                # its draft says what the commit says, and would wait for a slow reader with it
                step = self.last_step and replace(self.last_step, draft=None)
                self._put_lossless(replace(self._number(event), last_step=step))
            case Finished():
                if self._queue and isinstance(last := self._queue[-1], Delivery):
                    self._queue[-1] = replace(last, final=True)
                self._ended = True
                self._put_lossless(self._number(event))
            case Failed(message=message):
                self.fail(EngineError(message))

    def fail(self, error: Exception) -> None:
        """End the stream with `error`, after what is already waiting."""
        if not self._ended:
            self._ended = True
            self._put_lossless(error)

    def _number(self, event: Encoded | Stepped | Committed | Scored | Finished) -> Delivery:
        self._sequence += 1
        return Delivery(sequence=self._sequence, event=event)

    def _put_lossless(self, item: Delivery | Exception) -> None:
        self.drafts_skipped += self._draft is not None
        self._draft = None
        self._queue.append(item)
        self._wake()

    def _put_step(self, event: Stepped) -> None:
        self.last_step = event
        if self._pace is None or not self._pace.offers(event.step):
            return
        # A reader that already waits for a paced draft takes whichever is newest then.
        wake = self._draft is None
        self.drafts_skipped += not wake
        self._draft = self._number(event)
        if wake:
            self._wake()

    def __aiter__(self) -> Mailbox:
        return self

    async def __anext__(self) -> Delivery:
        while True:
            if self._queue:
                item = self._queue.popleft()
                if isinstance(item, Exception):
                    raise item
                return item
            if self._ended:
                raise StopAsyncIteration
            if self._pace is None or self._draft is None:
                await self._wait(None)
                continue
            wait_s = self._next_draft_s - self._loop.time()
            if wait_s <= 0:
                self._next_draft_s = self._loop.time() + 1.0 / self._pace.max_rate_hz
                draft, self._draft = self._draft, None
                self.drafts_sent += 1
                return draft
            await self._wait(wait_s)

    async def _wait(self, timeout_s: float | None) -> None:
        """Sleep until something is put, or until a paced draft is due."""
        self._waiter = self._loop.create_future()
        timer = None if timeout_s is None else self._loop.call_later(timeout_s, self._wake)
        try:
            await self._waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
