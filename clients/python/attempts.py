"""The tries of one call: what each is made with, and whether and when there is another.

Shared by both clients. Knows no kind of call and no channel.
"""

from __future__ import annotations

import random
import time
from typing import TypedDict

from palimpsest.errors import PalimpsestError, Unavailable

FIRST_WAIT_S = 0.1
"""Before the first further try, at most."""
LONGEST_WAIT_S = 2.0
"""Before any, at most, unless the server asks for more."""


class CallOptions(TypedDict):
    """The keyword arguments of every call of grpc."""

    timeout: float | None
    metadata: tuple[tuple[str, str], ...]


class Attempts:
    """One call until it succeeds, its time is up, or it failed too often in a row."""

    def __init__(
        self, *, retries: int, timeout_s: float | None, metadata: tuple[tuple[str, str], ...]
    ) -> None:
        """`timeout_s` counts from now and is for all tries together; None is no limit."""
        self._retries = retries
        self._end_s = None if timeout_s is None else time.monotonic() + timeout_s
        self._metadata = metadata
        self._failures = 0
        self._backoff_s = FIRST_WAIT_S

    def options(self) -> CallOptions:
        """For the try that is made now."""
        return CallOptions(timeout=self._time_left_s(), metadata=self._metadata)

    def succeed(self) -> None:
        """Note that the call has come further: earlier failures no longer count."""
        self._failures, self._backoff_s = 0, FIRST_WAIT_S

    def wait_s(self, error: PalimpsestError) -> float:
        """Seconds until the next try after `error`, which is raised if there is to be none.

        As long as the server says, and a backoff on top that doubles with each failure; by chance
        up to half of it is spared, so that clients of one server do not come back all at once.
        """
        if not isinstance(error, Unavailable) or self._failures >= self._retries:
            raise error
        backoff_s = random.uniform(self._backoff_s / 2, self._backoff_s)
        wait_s = (error.retry_after_s or 0.0) + backoff_s
        left_s = self._time_left_s()
        if left_s is not None and wait_s >= left_s:
            raise error
        self._failures += 1
        self._backoff_s = min(2 * self._backoff_s, LONGEST_WAIT_S)
        return wait_s

    def _time_left_s(self) -> float | None:
        return None if self._end_s is None else max(self._end_s - time.monotonic(), 0.0)
