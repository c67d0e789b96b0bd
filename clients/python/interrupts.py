"""Ctrl-C and its kin while an answer is read: the call is cancelled, then the signal takes effect.

An exception in the middle of gRPC's own waiting would leave a lock of the channel held, and the
channel deaf for good.
"""

from __future__ import annotations

import contextlib
import signal
from _thread import start_new_thread
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TypeVar

from palimpsest.closing import Closing

StreamT = TypeVar("StreamT", bound=Closing)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def interruptible(open_stream: Callable[[], StreamT]) -> Iterator[StreamT]:
    """A stream that a signal cancels: it ends like any other, and the signal's own handler is
    called behind the block. A second signal is handled at once. For the main thread only.
    """
    caught: list[signal.Signals] = []
    stream: StreamT | None = None

    def cancel(number: int, frame: FrameType | None) -> None:
        caught.append(signal.Signals(number))
        if len(caught) > 1:
            handlers[caught[-1]](number, frame)
        if stream is not None:
            # in a thread: this one may be anywhere, also where it holds what closing waits for
            start_new_thread(stream.close, ())

    # one that is ignored, as in a background job, stays ignored
    before = {number: signal.getsignal(number) for number in SIGNALS}
    handlers = {number: handler for number, handler in before.items() if callable(handler)}
    for number in handlers:
        signal.signal(number, cancel)
    try:
        with (stream := open_stream()):
            if caught:
                stream.close()
            yield stream
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if caught:
        handlers[caught[0]](caught[0], None)
