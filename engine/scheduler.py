"""Who runs next: first come, first served, one at a time. Bookkeeping over ids, no tensors."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Scheduler(Generic[T]):
    """Holds waiting requests as they came and the one that runs."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, T]] = deque()
        self._running: tuple[int, T] | None = None

    @property
    def busy(self) -> bool:
        """Whether there is anything to run."""
        return self._running is not None or bool(self._waiting)

    def add(self, request_id: int, request: T) -> None:
        """Puts a request at the end of the line."""
        self._waiting.append((request_id, request))

    def remove(self, request_id: int) -> None:
        """Forgets a request, running or waiting; an unknown id may just have ended: no error."""
        if self._running is not None and self._running[0] == request_id:
            self._running = None
        self._waiting = deque(entry for entry in self._waiting if entry[0] != request_id)

    def next(self) -> T | None:
        """The request to run a step of."""
        if self._running is None and self._waiting:
            self._running = self._waiting.popleft()
        return self._running[1] if self._running else None
