"""Which frames of a video are shown to the model. Pure functions.

As transformers' Gemma4VideoProcessor where there are more frames than the model sees; the rate is
the model card's.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence

RATE_HZ = 1.0
"""Frames of a second, unless a request says otherwise."""


def sampled(times: Sequence[float], *, rate_hz: float, most: int) -> list[int]:
    """Indices of at most `most` frames: those nearest to every 1 / rate_hz seconds, or, where these
    are too many, ⌊i · all / most⌋.

    `times` are seconds, ascending, at least one.
    """
    count = math.floor((times[-1] - times[0]) * rate_hz) + 1
    if count > most:
        return evenly(len(times), most)
    wanted = (times[0] + number / rate_hz for number in range(count))
    # one frame may be the nearest to more than one time
    return list(dict.fromkeys(_nearest(times, time) for time in wanted))


def evenly(count: int, most: int) -> list[int]:
    """Indices of at most `most` of `count` frames."""
    if count <= most:
        return list(range(count))
    return [number * count // most for number in range(most)]


def _nearest(times: Sequence[float], time: float) -> int:
    behind = bisect_left(times, time)
    if behind == 0:
        return 0
    if behind == len(times):
        return behind - 1
    return behind if times[behind] - time < time - times[behind - 1] else behind - 1
