"""From an encoded video to some of its frames in RGB, each with its time.

Runs where it may fail in any way (`decoding.py`). PyAV need not be installed. Knows no request.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any, NoReturn

from PIL import Image

from palimpsest.server.media.limits import MAX_FRAME_PIXELS, MAX_PACKETS, MAX_SECONDS
from palimpsest.server.media.times import sampled
from palimpsest.server.media.unreadable import Unreadable

_CODECS = ("h264", "hevc", "vp8", "vp9", "av1", "libdav1d")
_TURNS = {
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_270,
}
"""Counterclockwise, as players turn it."""


def frames(
    data: bytes, container_name: str, *, rate_hz: float, most: int
) -> Iterator[tuple[float, Image.Image]]:
    """Seconds and pixels of at most `most` frames. `container_name` is FFmpeg's.

    Raises Unreadable, and whatever PyAV raises for damaged files.
    """
    with _opened(data, container_name) as (container, stream):
        # what is not decoded costs little, and tells how long it is
        times = _times(container.demux(stream))
        unit = stream.time_base
    if not times:
        raise Unreadable("has no frames")
    seconds = [float((time - times[0]) * unit) for time in times]
    if seconds[-1] > MAX_SECONDS:
        raise Unreadable(f"lasts {seconds[-1]:.1f} s, more than {MAX_SECONDS:.0f}")
    chosen = [times[index] for index in sampled(seconds, rate_hz=rate_hz, most=most)]
    with _opened(data, container_name) as (container, stream):
        for frame in _shown(container.decode(stream), chosen):
            yield float((frame.pts - times[0]) * unit), _upright(frame)


def load_library() -> Any:  # noqa: ANN401 - a module that may be missing
    """PyAV. Raises Unreadable."""
    try:
        import av
    except ImportError:
        reason = "cannot be decoded: PyAV is not installed where the server runs (pip install av)"
        raise Unreadable(reason) from None
    return av


@contextlib.contextmanager
def _opened(data: bytes, container_name: str) -> Iterator[tuple[Any, Any]]:
    """The container and its only stream that is decoded."""
    av = load_library()
    with av.open(io.BytesIO(data), format=container_name, io_open=_refuse_more) as container:
        if not container.streams.video:
            raise Unreadable("has no moving image")
        stream = container.streams.video[0]
        context = stream.codec_context
        if context.name not in _CODECS:
            raise Unreadable(f"is written by {context.name}, none of {', '.join(_CODECS[:-1])}")
        if context.width * context.height > MAX_FRAME_PIXELS:
            size = f"{context.width} × {context.height}"
            raise Unreadable(f"has frames of {size} pixels, more than {MAX_FRAME_PIXELS:,}")
        context.thread_count = 1
        yield container, stream


def _refuse_more(*_: object) -> NoReturn:
    raise Unreadable("refers to other files")


def _times(packets: Iterator[Any]) -> list[int]:
    """When frames are shown, ascending, in the stream's unit."""
    times: set[int] = set()
    for count, packet in enumerate(packets):
        if count > MAX_PACKETS:
            raise Unreadable(f"has more than {MAX_PACKETS:,} frames")
        if packet.size and packet.pts is not None and not packet.is_discard:
            times.add(packet.pts)
    return sorted(times)


def _shown(decoded: Iterator[Any], times: list[int]) -> Iterator[Any]:
    """The frame of each time, or the next one where that is not shown by itself."""
    waiting = iter(times)
    time = next(waiting)
    for frame in decoded:
        if frame.pts is None or frame.pts < time:
            continue
        if frame.width * frame.height > MAX_FRAME_PIXELS:
            raise Unreadable(f"has a frame of {frame.width} × {frame.height} pixels")
        yield frame
        while time is not None and time <= frame.pts:
            time = next(waiting, None)
        if time is None:
            return


def _upright(frame: Any) -> Image.Image:  # noqa: ANN401 - of a module that may be missing
    picture = frame.to_image()
    turn = _TURNS.get(frame.rotation % 360)
    return picture if turn is None else picture.transpose(turn)
