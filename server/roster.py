"""Which requests are waiting or running, and which mailbox their events go to. Pure bookkeeping.

A place is taken at admission and free again as soon as the engine is done with the request, however
slowly its answer is read; one that was reserved is kept for the next request. Knows no process and
no wire.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator

from palimpsest.engine.api import Failed, Finished, Overloaded, RequestEvent, Stepped, Submit
from palimpsest.server.mailbox import Mailbox

RETRY_BOUNDS_S = (1.0, 60.0)
"""What a refused caller is told to wait, at least and at most."""
_KEPT = 0.8
"""Weight of the mean stay so far against the newest one."""


class Roster:
    """All requests between admission and their last event."""

    def __init__(
        self, *, max_running: int, max_queue: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`clock` tells seconds."""
        self._max_running = max_running
        self._max_queue = max_queue
        self._clock = clock
        self._ids = itertools.count(1)
        self._places: dict[int, float] = {}
        """When each place was taken."""
        self._stay_s: float | None = None
        """How long a place was taken lately, on average; None while none was."""
        self._reserved = 0
        """Places of those who take them up by one request after another."""
        self._mailboxes: dict[int, Mailbox] = {}
        self._requests: dict[int, Submit] = {}
        """What the mailboxes are of, the oldest first."""

    def __len__(self) -> int:
        """Places taken."""
        return len(self._places) + self._reserved

    @contextlib.contextmanager
    def admit(self) -> Iterator[int]:
        """Take a place: the id to submit under. Raises Overloaded when the queue is full."""
        self._require(1)
        request_id = next(self._ids)
        self._places[request_id] = self._clock()
        try:
            yield request_id
        finally:
            self.close(request_id)

    @contextlib.contextmanager
    def reserve(self, count: int) -> Iterator[Iterator[int]]:
        """Take places for so many requests at a time, as long as the block lasts: ids to submit
        them under, as many as are wanted one after another. Raises Overloaded unless all are free.
        """
        self._require(count)
        self._reserved += count
        try:
            yield self._ids
        finally:
            self._reserved -= count

    def _require(self, count: int) -> None:
        if len(self) + count > self._max_running + self._max_queue:
            raise Overloaded(
                f"{self._max_running} running and {self._max_queue} waiting requests are the most "
                "that this server takes (--max-queue)",
                self._retry_after_s(count),
            )

    def _retry_after_s(self, count: int) -> float:
        """When so many places should have become free: of a full house, each is left after the mean
        stay, so one becomes free every stay over places (Little's law).
        """
        low, high = RETRY_BOUNDS_S
        expected_s = (self._stay_s or 0.0) * count / (self._max_running + self._max_queue)
        return min(max(expected_s, low), high)

    def open(self, request: Submit, mailbox: Mailbox) -> None:
        """Send the events of an admitted request to `mailbox` from now on."""
        self._mailboxes[request.request_id] = mailbox
        self._requests[request.request_id] = request

    def in_flight(self) -> list[tuple[Submit, Stepped]]:
        """Requests whose canvas has taken a step, and their last one; the oldest first."""
        steps = ((request, self._mailboxes[i].last_step) for i, request in self._requests.items())
        return [(request, step) for request, step in steps if step is not None]

    def deliver(self, event: RequestEvent) -> None:
        """Bring an event to its stream; events of requests that are gone are dropped."""
        mailbox = self._mailboxes.get(event.request_id)
        if mailbox is None:
            return
        mailbox.put(event)
        if isinstance(event, Finished | Failed):
            self.close(event.request_id)

    def fail(self, request_id: int, error: Exception) -> bool:
        """End one stream with `error`; says whether the engine was still at work on it."""
        mailbox = self._mailboxes.get(request_id)
        if mailbox is not None:
            mailbox.fail(error)
        return self.close(request_id)

    def fail_all(self, error: Exception) -> None:
        """End every stream with `error`: the engine is gone."""
        for request_id in list(self._mailboxes):
            self.fail(request_id, error)

    def close(self, request_id: int) -> bool:
        """Free the place; says whether the engine was still at work on the request."""
        since_s = self._places.pop(request_id, None)
        if since_s is not None:
            stay_s = self._clock() - since_s
            before_s = stay_s if self._stay_s is None else self._stay_s
            self._stay_s = _KEPT * before_s + (1.0 - _KEPT) * stay_s
        self._requests.pop(request_id, None)
        return self._mailboxes.pop(request_id, None) is not None
