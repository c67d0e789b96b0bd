"""Images and videos of a message: files, bytes or URLs, as parts of the contract."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from palimpsest.errors import invalid_field, sendable
from palimpsest.v1 import chat_pb2

Source = bytes | str | os.PathLike[str]
"""The bytes of an encoded file, its path, a data URL that holds it (`data:image/png;base64,…`), or
another URL, which the server fetches if it may."""
_URLS = ("http://", "https://")
_DATA = "data:"


@dataclass(frozen=True, slots=True)
class Image:
    """A still image: PNG, JPEG, WebP, GIF or BMP."""

    source: Source = field(repr=False)
    max_soft_tokens: int | None = None
    """Tokens that it may take: 70, 140, 280, 560 or 1120; None is the checkpoint's default."""
    mime_type: str = ""
    """Empty: recognised from the data."""


@dataclass(frozen=True, slots=True)
class Video:
    """A moving image of at most 60 seconds: MP4 or WebM, or its frames as images."""

    source: Source | Sequence[Image] = field(repr=False)
    fps: float | None = None
    """Of frames, the rate at which they were taken; of a file, at which it is sampled. None is 1
    a second."""
    max_soft_tokens: int | None = None
    """Of each frame."""
    mime_type: str = ""
    """Not of frames."""


Content = str | Sequence["str | Image | Video"]
"""What a message of the user says; models commonly read images best before the text about them."""


def content_parts(content: object, path: str) -> Iterator[chat_pb2.ContentPart]:
    """Reads files. Raises InvalidRequest, also for those that cannot be read."""
    if isinstance(content, str):
        yield chat_pb2.ContentPart(text=sendable(content, path))
        return
    if not isinstance(content, Sequence) or isinstance(content, bytes):
        raise invalid_field(path, f"{content!r} is neither text nor a list of its parts")
    for index, part in enumerate(content):
        yield _part(part, f"{path}[{index}]")


def _part(part: object, path: str) -> chat_pb2.ContentPart:
    match part:
        case str():
            return chat_pb2.ContentPart(text=sendable(part, path))
        case Image():
            return chat_pb2.ContentPart(image=_image(part, path))
        case Video():
            return chat_pb2.ContentPart(video=_video(part, path))
    raise invalid_field(path, f"{part!r} is not text, an Image or a Video")


def _image(image: Image, path: str) -> chat_pb2.Image:
    written = chat_pb2.Image(mime_type=image.mime_type, max_soft_tokens=image.max_soft_tokens)
    _fill(written, image.source, path)
    return written


def _video(video: Video, path: str) -> chat_pb2.Video:
    written = chat_pb2.Video(
        mime_type=video.mime_type, max_soft_tokens=video.max_soft_tokens, fps=video.fps
    )
    if isinstance(video.source, bytes | str | os.PathLike):
        _fill(written, video.source, path)
        return written
    frames = [_image(image, f"{path}.frames[{i}]") for i, image in enumerate(video.source)]
    written.frames.images.extend(frames)
    return written


def _fill(part: chat_pb2.Image | chat_pb2.Video, source: Source, path: str) -> None:
    if isinstance(source, bytes):
        part.data = source
    elif isinstance(source, str) and source.startswith(_URLS):
        part.url = sendable(source, path)
    elif isinstance(source, str) and source.startswith(_DATA):
        part.data = _decoded(source, path)
    else:
        try:
            part.data = Path(source).read_bytes()
        except OSError as error:
            raise invalid_field(path, f"{source}: {error.strerror or error}") from None


def _decoded(url: str, path: str) -> bytes:
    head, _, data = url.partition(",")
    try:
        if not head.endswith(";base64"):
            raise ValueError("it does not say ;base64, before its data")
        return base64.b64decode(data, validate=True)
    except ValueError as error:
        raise invalid_field(path, f"{url[:40]}… is no data URL that can be read: {error}") from None
