"""Images and video of a line of a suite."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from palimpsest.errors import InvalidRequest
from palimpsest.evaluation.lines import Line, shown
from palimpsest.media import Image, Video, content_parts
from palimpsest.v1 import chat_pb2

INLINE = ("data:", "http://", "https://")
"""What a source begins with that is no path."""
Medium = Image | Video


def media_of(line: Line) -> tuple[Medium, ...]:
    """What stands before the prompt: `images`, then the `video`. Raises BadInput."""
    images = [Image(_source(line, "images", given)) for given in line.get("images", list) or ()]
    video = line.fields.get("video")
    if video is None:
        return tuple(images)
    if isinstance(video, list):
        return (*images, Video([Image(_source(line, "video", frame)) for frame in video]))
    return (*images, Video(_source(line, "video", video)))


def digest(media: Sequence[Medium]) -> str:
    """The same for the same content, wherever it came from."""
    message = chat_pb2.ChatMessage(parts=content_parts(media, "media"))
    return hashlib.sha256(message.SerializeToString(deterministic=True)).hexdigest()


def _source(line: Line, field: str, given: object) -> str:
    """A URL as it is; a path from where the suite lies."""
    if not isinstance(given, str):
        raise line.refusal(field, f"{shown(given)} is not the path or URL of a file")
    source = given if given.startswith(INLINE) else str(line.path.parent / given)
    try:
        list(content_parts([Image(source)], field))
    except InvalidRequest as error:
        raise line.refusal(field, error.violations[0].description) from error
    return source
