"""From the images and videos of a prompt to what the engine takes in their place. Knows no wire
format and no tokens.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from palimpsest.engine.api import InvalidRequest, ModelInfo, Processing, VideoFrame, read_processing
from palimpsest.server.media.decoder import Decoder
from palimpsest.server.media.fetching import Fetcher
from palimpsest.server.media.formats import image_format, video_format
from palimpsest.server.media.holding import Holding
from palimpsest.server.media.limits import HELD_BYTES, MAX_SECONDS
from palimpsest.server.media.times import evenly
from palimpsest.server.media.unreadable import Unreadable
from palimpsest.server.media.wire import Job
from palimpsest.server.prompts import (
    ChatMessage,
    ChatPrompt,
    ImagePart,
    Prompt,
    SeenImage,
    SeenVideo,
    VideoPart,
)


class Looker:
    """Looks at what the callers of one checkpoint send."""

    def __init__(self, folder: Path, decoder: Decoder, fetcher: Fetcher) -> None:
        """`folder` is the checkpoint's."""
        self._folder = folder
        self._decoder = decoder
        self._fetcher = fetcher
        self._holding = Holding(HELD_BYTES)

    @cached_property
    def _processing(self) -> Processing:
        # read when it is needed: what cannot be loaded is the engine's to say
        return read_processing(self._folder)

    def hold(self, prompt: Prompt) -> contextlib.AbstractContextManager[None]:
        """Around the answer to a prompt, and so around `look`. Raises Overloaded."""
        return self._holding.hold(prompt)

    async def look(self, prompt: Prompt, model: ModelInfo) -> Prompt:
        """The prompt with its images and videos seen, one after another.

        Raises InvalidRequest, with field paths that start at `prompt`, Overloaded, and
        CheckpointError where the checkpoint does not say how.
        """
        if not isinstance(prompt, ChatPrompt):
            return prompt
        messages = []
        for index, message in enumerate(prompt.messages):
            messages.append(await self._seen(message, f"prompt.chat.messages[{index}]", model))
        return replace(prompt, messages=tuple(messages))

    async def _seen(self, message: ChatMessage, path: str, model: ModelInfo) -> ChatMessage:
        if not isinstance(message.content, tuple):
            return message
        parts = []
        for index, part in enumerate(message.content):
            kind = "image" if isinstance(part, ImagePart) else "video"
            here = f"{path}.parts[{index}].{kind}"
            if isinstance(part, ImagePart | VideoPart) and not model.sees:
                raise InvalidRequest(here, f"the model {model.name!r} reads text alone")
            with _below(here):
                match part:
                    case ImagePart():
                        budget = part.max_soft_tokens or self._processing.image_budget
                        part = SeenImage(picture=(await self._image(part, budget)).picture)
                    case VideoPart(frames=frames):
                        part = await (self._frames(part) if frames else self._video(part))
            parts.append(part)
        return replace(message, content=tuple(parts))

    async def _image(self, part: ImagePart, budget: int) -> VideoFrame:
        data = await self._data(part)
        with _blaming(part):
            found = image_format(data, part.mime_type)
            job = Job(format_name=found.name, budget=budget)
            (frame,) = await self._decoder.decode(job, data)
        return frame

    async def _video(self, part: VideoPart) -> SeenVideo:
        data = await self._data(part)
        with _blaming(part):
            job = Job(
                format_name=video_format(data, part.mime_type).name,
                budget=part.max_soft_tokens or self._processing.frame_budget,
                rate_hz=part.fps,
                frame_count=self._processing.frame_count,
            )
            frames = await self._decoder.decode(job, data)
        return SeenVideo(frames=tuple(frames))

    async def _frames(self, part: VideoPart) -> SeenVideo:
        """Of a video that comes as images."""
        lasts_s = (len(part.frames) - 1) / part.fps
        if lasts_s > MAX_SECONDS:
            reason = f"{len(part.frames)} at {part.fps} a second last more than {MAX_SECONDS:.0f} s"
            raise InvalidRequest("frames.images", reason)
        budget = part.max_soft_tokens or self._processing.frame_budget
        chosen = evenly(len(part.frames), self._processing.frame_count)
        frames = []
        for index in chosen:
            with _below(f"frames.images[{index}]"):
                seen = await self._image(part.frames[index], budget)
            frames.append(VideoFrame(seconds=index / part.fps, picture=seen.picture))
        return SeenVideo(frames=tuple(frames))

    async def _data(self, part: ImagePart | VideoPart) -> bytes:
        if not part.url:
            size, most = len(part.data), self._fetcher.max_bytes
            if size > most:
                raise InvalidRequest("data", f"{size:,} bytes are more than {most:,}")
            return part.data
        try:
            return await self._fetcher.fetch(part.url)
        except Unreadable as wrong:
            raise InvalidRequest("url", str(wrong)) from None


@contextlib.contextmanager
def _blaming(part: ImagePart | VideoPart) -> Iterator[None]:
    """Data that was fetched is its URL's fault."""
    try:
        yield
    except InvalidRequest as error:
        if part.url and error.field == "data":
            raise InvalidRequest("url", error.reason) from None
        raise


@contextlib.contextmanager
def _below(path: str) -> Iterator[None]:
    try:
        yield
    except InvalidRequest as error:
        raise error.under(path) from None
