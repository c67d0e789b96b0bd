"""What the server and a process that decodes a file say to each other: JSON, and bytes behind it.

No pickles: a process that hostile bytes have taken over must not be able to send code.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from palimpsest.engine.api import CutPicture, VideoFrame

STARTED = b"s"
"""Sent when the work on a file begins, as what comes before takes none of its time."""
LENGTHS = struct.Struct("!II")
"""Bytes of JSON, and bytes behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to make of a file."""

    format_name: str
    """A FileFormat's."""
    budget: int
    """Tokens of a picture at most."""
    rate_hz: float = 0.0
    """Of a video; 0 is an image."""
    frame_count: int = 1
    """At most."""

    @property
    def is_video(self) -> bool:
        return self.rate_hz > 0


def message(said: object, payload: bytes = b"") -> bytes:
    """One message, whole."""
    text = json.dumps(said).encode()
    return LENGTHS.pack(len(text), len(payload)) + text + payload


def job_message(job: Job, data: bytes) -> bytes:
    """Of a file."""
    return message(asdict(job), data)


def answer_message(frames: Sequence[VideoFrame]) -> bytes:
    """Of a file's pictures."""
    told = [
        {
            "rows": frame.picture.rows,
            "columns": frame.picture.columns,
            "bytes": len(frame.picture.values),
            "seconds": frame.seconds,
        }
        for frame in frames
    ]
    return message(told, b"".join(frame.picture.values for frame in frames))


def frames_of(told: Sequence[dict[str, float]], payload: bytes) -> list[VideoFrame]:
    """What `answer_message` was made of."""
    frames, start = [], 0
    for each in told:
        end = start + int(each["bytes"])
        picture = CutPicture(
            rows=int(each["rows"]), columns=int(each["columns"]), values=payload[start:end]
        )
        frames.append(VideoFrame(picture=picture, seconds=each["seconds"]))
        start = end
    return frames
