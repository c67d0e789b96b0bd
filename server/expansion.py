"""Prompts with their pictures: what the chat template has announced is there, and in its order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from palimpsest.engine import api
from palimpsest.engine.api import (
    CutPicture,
    InvalidRequest,
    Picture,
    PictureTokens,
    TextCodec,
    VideoFrame,
)
from palimpsest.server.prompts import ChatPrompt, Prompt, SeenImage, SeenVideo

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
    has_video = any(isinstance(each, SeenVideo) for each in seen)
    tokens = PictureTokens(
        begin=_id(codec, _OPEN),
        image=_id(codec, IMAGE),
        end=_id(codec, _CLOSE),
        video=_id(codec, VIDEO) if has_video else codec.token_id(VIDEO),
    )
    kinds = [tokens.image if isinstance(each, SeenImage) else tokens.video for each in seen]
    if [token for token in ids if token in (tokens.image, tokens.video)] != kinds:
        reason = "the checkpoint's chat template has no place for some of their images or videos"
        raise InvalidRequest(_FIELD, reason)
    expanded = api.expand(ids, [_medium(each) for each in seen], tokens, codec.encode_plain)
    return PromptTokens(ids=tuple(expanded.token_ids), pictures=expanded.pictures)


def _seen(prompt: Prompt) -> Sequence[SeenImage | SeenVideo]:
    if not isinstance(prompt, ChatPrompt):
        return ()
    contents = [m.content for m in prompt.messages if isinstance(m.content, tuple)]
    parts = [part for content in contents for part in content if not isinstance(part, str)]
    assert all(isinstance(part, SeenImage | SeenVideo) for part in parts), "all were looked at"
    return parts  # type: ignore[return-value]


def _medium(seen: SeenImage | SeenVideo) -> CutPicture | Sequence[VideoFrame]:
    return seen.picture if isinstance(seen, SeenImage) else seen.frames


def _id(codec: TextCodec, name: str) -> int:
    token = codec.token_id(name)
    if token is None:
        raise InvalidRequest(_FIELD, f"the checkpoint's tokenizer has no token {name}")
    return token
