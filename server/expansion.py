"""From the tokens that stand for images and videos to those that the engine replaces by what it
sees: so many of them as a picture takes, between two marks, and before each frame its time.

As transformers' Gemma4Processor, replace_image_token and replace_video_token. Pure functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from palimpsest.engine.api import CutPicture, InvalidRequest, Picture, TextCodec
from palimpsest.server.exchange import ChatPrompt, Prompt, SeenImage, SeenVideo

IMAGE, VIDEO = "<|image|>", "<|video|>"
_OPEN, _CLOSE = "<|image>", "<image|>"
_FIELD = "prompt.chat.messages"


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptTokens:
    """A prompt as the engine takes it."""

    ids: tuple[int, ...]
    pictures: tuple[Picture, ...] = ()

    @property
    def picture_count(self) -> int:
        """Tokens of pictures."""
        return sum(picture.end - picture.start for picture in self.pictures)


def expand(ids: tuple[int, ...], prompt: Prompt, codec: TextCodec) -> PromptTokens:
    """`ids` are those that the chat template has made of `prompt`.

    Raises InvalidRequest where the template has left out an image, or the tokenizer has no token
    for it. What users spell out is ordinary text by now, and stands for nothing.
    """
    seen = _seen(prompt)
    if not seen:
        return PromptTokens(ids=ids)
    names = {name: _id(codec, name) for name in (IMAGE, _OPEN, _CLOSE)}
    video = codec.token_id(VIDEO)
    kinds = [names[IMAGE] if isinstance(each, SeenImage) else _id(codec, VIDEO) for each in seen]
    if [token for token in ids if token in (names[IMAGE], video)] != kinds:
        reason = "the checkpoint's chat template has no place for some of their images or videos"
        raise InvalidRequest(_FIELD, reason)
    writer = _Writer(names[_OPEN], names[_CLOSE])
    waiting = iter(zip(kinds, seen, strict=True))
    for token in ids:
        if token not in kinds:
            writer.ids.append(token)
            continue
        kind, each = next(waiting)
        if isinstance(each, SeenImage):
            writer.show(each.picture, kind)
        else:
            _write_video(writer, each, kind, codec)
    return PromptTokens(ids=tuple(writer.ids), pictures=tuple(writer.pictures))


def _seen(prompt: Prompt) -> Sequence[SeenImage | SeenVideo]:
    if not isinstance(prompt, ChatPrompt):
        return ()
    contents = [m.content for m in prompt.messages if isinstance(m.content, tuple)]
    parts = [part for content in contents for part in content if not isinstance(part, str)]
    assert all(isinstance(part, SeenImage | SeenVideo) for part in parts), "all were looked at"
    return parts  # type: ignore[return-value]


def _id(codec: TextCodec, name: str) -> int:
    token = codec.token_id(name)
    if token is None:
        raise InvalidRequest(_FIELD, f"the checkpoint's tokenizer has no token {name}")
    return token


class _Writer:
    """Tokens, and where pictures stand among them."""

    def __init__(self, open_id: int, close_id: int) -> None:
        self._open_id = open_id
        self._close_id = close_id
        self.ids: list[int] = []
        self.pictures: list[Picture] = []

    def show(self, picture: CutPicture, token: int) -> None:
        """`token` stands for each part of it."""
        self.ids.append(self._open_id)
        self.pictures.append(
            Picture(
                start=len(self.ids),
                rows=picture.rows,
                columns=picture.columns,
                patches=picture.values,
                key=picture.key,
            )
        )
        self.ids += [token] * picture.token_count
        self.ids.append(self._close_id)


def _write_video(writer: _Writer, video: SeenVideo, token: int, codec: TextCodec) -> None:
    for index, (frame, stamp) in enumerate(zip(video.frames, video.stamps, strict=True)):
        writer.ids += codec.encode_plain(f"{' ' if index else ''}{stamp} ")
        writer.show(frame, token)
