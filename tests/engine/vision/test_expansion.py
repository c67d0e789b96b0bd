"""Pictures in place of the tokens that announce them."""

from __future__ import annotations

import pytest

from palimpsest.engine.vision.expansion import PictureTokens, VideoFrame, expand
from palimpsest.engine.vision.patches import CutPicture

TOKENS = PictureTokens(begin=1, image=2, end=3, video=4)


@pytest.mark.parametrize(
    ("seconds", "written"), [(0, "00:00"), (9.99, "00:09"), (60, "01:00"), (754.2, "12:34")]
)
def test_the_time_of_a_frame_is_minutes_and_seconds(seconds: float, written: str) -> None:
    told: list[str] = []
    frame = VideoFrame(seconds=seconds, picture=CutPicture(rows=1, columns=2, values=b""))

    def encode(text: str) -> list[int]:
        told.append(text)
        return [9]

    expanded = expand([7, 4, 7], [[frame, frame]], TOKENS, encode)
    assert told == [f"{written} ", f" {written} "]
    assert expanded.token_ids == [7, 9, 1, 4, 4, 3, 9, 1, 4, 4, 3, 7]
    assert [(p.start, p.end) for p in expanded.pictures] == [(3, 5), (8, 10)]
