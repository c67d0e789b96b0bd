"""The content of a message: its texts, and the images and videos among them. Parsed and checked as
far as that goes without looking at them.

Pure functions.
"""

from __future__ import annotations

import math

from palimpsest.engine.api import BUDGETS, InvalidRequest
from palimpsest.server.media.limits import MAX_IMAGES, MAX_VIDEOS
from palimpsest.server.media.times import RATE_HZ
from palimpsest.server.prompts import Content, ImagePart, VideoPart
from palimpsest.v1 import chat_pb2

MAX_FPS = 240.0


def content(message: chat_pb2.ChatMessage, path: str, *, required: bool) -> str | Content:
    """Text alone as one string. Raises InvalidRequest, with paths below `path`."""
    parts = [_part(part, f"{path}.parts[{i}]") for i, part in enumerate(message.parts)]
    texts = [part for part in parts if isinstance(part, str)]
    if len(texts) < len(parts):
        return tuple(parts)
    if required and not any(texts):
        raise InvalidRequest(f"{path}.parts", "is empty")
    return "".join(texts)


def refuse_media(message: chat_pb2.ChatMessage, path: str) -> None:
    """Of messages that the user did not write."""
    for index, part in enumerate(message.parts):
        kind = part.WhichOneof("kind")
        if kind in ("image", "video"):
            raise InvalidRequest(f"{path}.parts[{index}].{kind}", "only a USER message has this")


def check_counts(chat: chat_pb2.ChatPrompt, path: str) -> None:
    """Raises InvalidRequest where a conversation holds more than is looked at."""
    for kind, most in (("image", MAX_IMAGES), ("video", MAX_VIDEOS)):
        kinds = [part.WhichOneof("kind") for message in chat.messages for part in message.parts]
        if (count := kinds.count(kind)) > most:
            raise InvalidRequest(path, f"{count} {kind}s are more than {most}")


def _part(part: chat_pb2.ContentPart, path: str) -> str | ImagePart | VideoPart:
    match part.WhichOneof("kind"):
        case "text":
            return part.text
        case "image":
            return _image(part.image, f"{path}.image")
        case "video":
            return _video(part.video, f"{path}.video")
        case _:
            raise InvalidRequest(path, "is empty: set text, image or video")


def _image(image: chat_pb2.Image, path: str) -> ImagePart:
    if bool(image.data) == bool(image.url):
        reason = "has both: set data or url" if image.data else "is empty: set data or url"
        raise InvalidRequest(path, reason)
    return ImagePart(
        data=image.data,
        url=image.url,
        mime_type=image.mime_type,
        max_soft_tokens=_budget(image, path),
    )


def _video(video: chat_pb2.Video, path: str) -> VideoPart:
    if not (video.data or video.url or video.frames.images):
        raise InvalidRequest(path, "is empty: set data, frames or url")
    fps = video.fps if video.HasField("fps") else RATE_HZ
    if math.isnan(fps) or not 0 < fps <= MAX_FPS:
        raise InvalidRequest(f"{path}.fps", f"{fps} is not above 0 and at most {MAX_FPS:.0f}")
    if video.frames.images and video.mime_type:
        raise InvalidRequest(f"{path}.mime_type", "frames have their own")
    return VideoPart(
        data=video.data,
        url=video.url,
        frames=_frames(video.frames, f"{path}.frames"),
        mime_type=video.mime_type,
        fps=fps,
        max_soft_tokens=_budget(video, path),
    )


def _frames(frames: chat_pb2.VideoFrames, path: str) -> tuple[ImagePart, ...]:
    for index, image in enumerate(frames.images):
        if image.HasField("max_soft_tokens"):
            here = f"{path}.images[{index}].max_soft_tokens"
            raise InvalidRequest(here, "is the video's to say")
    return tuple(_image(image, f"{path}.images[{i}]") for i, image in enumerate(frames.images))


def _budget(part: chat_pb2.Image | chat_pb2.Video, path: str) -> int | None:
    if not part.HasField("max_soft_tokens"):
        return None
    if part.max_soft_tokens not in BUDGETS:
        known = ", ".join(map(str, BUDGETS))
        reason = f"{part.max_soft_tokens} is none of {known}"
        raise InvalidRequest(f"{path}.max_soft_tokens", reason)
    return part.max_soft_tokens
