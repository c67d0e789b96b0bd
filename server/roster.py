"""Which requests are waiting or running, and which mailbox their events go to. Pure bookkeeping.

A place is taken at admission and free again as soon as the engine is done with the request, however
slowly its answer is read; one that was reserved is kept for the next request. Knows no process and
no wire.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator

from palimpsest.engine.api import Failed, Finished, Overloaded, RequestEvent
from palimpsest.server.mailbox import Mailbox

RETRY_AFTER_S = 1.0
"""What a refused caller is told to wait: about the time of one canvas on a busy engine."""


class Roster:
    """All requests between admission and their last event."""

    def __init__(self, *, max_running: int, max_queue: int) -> None:
        self._max_running = max_running
        self._max_queue = max_queue
        self._ids = itertools.count(1)
        self._places: set[int] = set()
        self._reserved = 0
        """Places of those who take them up by one request after another."""
        self._mailboxes: dict[int, Mailbox] = {}

    def __len__(self) -> int:
        """Places taken."""
        return len(self._places) + self._reserved

    @contextlib.contextmanager
    def admit(self) -> Iterator[int]:
        """Take a place: the id to submit under. Raises Overloaded when the queue is full."""
        self._require(1)
        request_id = next(self._ids)
        self._places.add(request_id)
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
                RETRY_AFTER_S,
            )

    def open(self, request_id: int, mailbox: Mailbox) -> None:
        """Send the events of an admitted request to `mailbox` from now on."""
        self._mailboxes[request_id] = mailbox

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
        self._places.discard(request_id)
        return self._mailboxes.pop(request_id, None) is not None
