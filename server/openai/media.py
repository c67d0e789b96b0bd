"""Parts of a message that are images and videos, as the contract's: data URLs are read here, others
are left to be fetched.
"""

from __future__ import annotations

import base64
import binascii

from palimpsest.server.openai.errors import bad_member
from palimpsest.server.openai.members import Members
from palimpsest.v1 import chat_pb2

_DETAILS = {"auto": None, "low": 70, "high": 1120}
"""Tokens that an image may take at most; None is the checkpoint's default."""


def image_part(holder: Members) -> chat_pb2.ContentPart:
    """Of an object with `image_url`, as chat completions (an object with `url` and `detail`) and
    responses (a string, with `detail` beside it) have it. Raises ApiError.
    """
    inner = holder if holder.is_text("image_url") else holder.members("image_url")
    if inner is None:
        raise bad_member(holder.path("image_url"), "is missing")
    name = "image_url" if inner is holder else "url"
    path = inner.path(name)
    image = chat_pb2.Image(max_soft_tokens=_budget(inner))
    _fill(image, inner.text(name), path)
    _finish(holder, inner)
    return chat_pb2.ContentPart(image=image)


def video_part(holder: Members) -> chat_pb2.ContentPart:
    """Of an object with `video_url`, which other servers have added. Raises ApiError."""
    inner = holder.members("video_url")
    if inner is None:
        raise bad_member(holder.path("video_url"), "is missing")
    path = inner.path("url")
    video = chat_pb2.Video()
    _fill(video, inner.text("url"), path)
    _finish(holder, inner)
    return chat_pb2.ContentPart(video=video)


def _finish(holder: Members, inner: Members) -> None:
    inner.finish()
    if inner is not holder:
        holder.finish()


def _budget(image: Members) -> int | None:
    detail = image.text("detail") or "auto"
    if detail not in _DETAILS:
        reason = f"{detail!r} is none of {', '.join(_DETAILS)}"
        raise bad_member(image.path("detail"), reason)
    return _DETAILS[detail]


def _fill(part: chat_pb2.Image | chat_pb2.Video, url: str | None, path: str) -> None:
    if not url:
        raise bad_member(path, "is missing")
    if url[:5].lower() != "data:":
        part.url = url
        return
    head, comma, text = url[5:].partition(",")
    kind, *parameters = head.split(";")
    if not comma or "base64" not in [parameter.strip().lower() for parameter in parameters]:
        raise bad_member(path, "is no data URL in base64, as in data:image/png;base64,…")
    try:
        part.data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise bad_member(path, f"{len(text)} characters behind the comma are no base64") from None
    if not part.data:
        raise bad_member(path, "holds no data")
    part.mime_type = kind.strip()
