"""Videos: which frames come out of a file, and which files are refused."""

from __future__ import annotations

import io

import numpy as np
import pytest
from files import encoded, film, noise

from palimpsest.server.media.unreadable import Unreadable
from palimpsest.server.media.videos import frames

av = pytest.importorskip("av")


def brightness(data: bytes, container: str, **how: float) -> list[tuple[float, int]]:
    """Seconds and grey of each frame that is seen."""
    settings = {"rate_hz": 1.0, "most": 32, **how}
    found = frames(data, container, **settings)  # type: ignore[arg-type]
    return [(round(seconds, 2), round(float(np.asarray(p).mean()))) for seconds, p in found]


@pytest.mark.parametrize("container", ["mp4", "webm"])
def test_a_frame_of_each_second_is_seen(container: str) -> None:
    seen = brightness(film(container, 4), container)
    assert [seconds for seconds, _ in seen] == [0, 1, 2, 3]
    for (_, grey), number in zip(seen, (0, 24, 48, 72), strict=True):
        assert grey == pytest.approx(number * 5 % 256, abs=6)


def test_a_rate_is_followed_up_to_as_many_frames_as_are_seen() -> None:
    data = film("webm", 4, rate=10)
    assert len(brightness(data, "webm", rate_hz=5.0)) == 20
    evenly = brightness(data, "webm", rate_hz=10.0, most=8)
    assert [seconds for seconds, _ in evenly] == [number * 0.5 for number in range(8)]


def test_a_clip_shorter_than_a_second_is_one_frame() -> None:
    assert len(brightness(film("mp4", 0.25), "mp4")) == 1


def test_a_video_of_more_than_a_minute_is_refused() -> None:
    with pytest.raises(Unreadable, match=r"lasts 62\.5 s, more than 60"):
        list(frames(film("webm", 63, rate=2), "webm", rate_hz=1.0, most=32))


def test_frames_of_too_many_pixels_are_refused_before_they_are_decoded() -> None:
    data = film("mp4", 0.5, rate=2, size=(4096, 2304))
    with pytest.raises(Unreadable, match="4096 × 2304 pixels, more than 8,294,400"):
        list(frames(data, "mp4", rate_hz=1.0, most=32))


def test_another_codec_is_refused_by_its_name() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream = output.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        output.mux(stream.encode(av.VideoFrame.from_image(noise())))
        output.mux(stream.encode())
    with pytest.raises(Unreadable, match="is written by mpeg4, none of h264"):
        list(frames(file.getvalue(), "mp4", rate_hz=1.0, most=32))


def test_what_is_no_video_is_not_opened() -> None:
    with pytest.raises((av.error.FFmpegError, ValueError)):
        list(frames(encoded(noise()), "mp4", rate_hz=1.0, most=32))
