"""What generation is asked about: plain data.

Field names are the contract's, so that a refusal can name them. Knows no wire format.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from palimpsest.engine.api import CutPicture, VideoFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPrompt:
    """Raw text, tokenised as it is."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPrompt:
    """Token ids, used as they are."""

    token_ids: tuple[int, ...]


Json = Mapping[str, Any]
"""A JSON object; whole numbers are ints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call that the model made."""

    id: str
    """Unique in its conversation."""
    name: str
    arguments: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePart:
    """An image as it was sent: one of `data` and `url`."""

    data: bytes = field(repr=False)
    url: str
    mime_type: str
    """Empty: not said."""
    max_soft_tokens: int | None
    """None: the checkpoint's default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoPart:
    """A video as it was sent: one of `data`, `url` and `frames`."""

    data: bytes = field(repr=False)
    url: str
    frames: tuple[ImagePart, ...]
    mime_type: str
    fps: float
    """Of the frames as they were taken, or of a file as they are sampled."""
    max_soft_tokens: int | None
    """Of each frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenImage:
    """An image as the engine takes it."""

    picture: CutPicture


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenVideo:
    """The frames of a video as the engine takes them."""

    frames: tuple[VideoFrame, ...]


Content = tuple[str | ImagePart | VideoPart | SeenImage | SeenVideo, ...]
"""Of a message that has more than text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatMessage:
    """One message of a conversation."""

    role: str
    """As chat templates call it: `system`, `developer`, `user`, `assistant` or `tool`."""
    content: str | Json | Content
    """A tool's result may be an object, a user's message may hold images and videos; all others are
    text."""
    thought: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    answers: ToolCall | None = None
    """The call whose result this is; role `tool` alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A function that the model may call."""

    name: str
    description: str = ""
    parameters: Json | None = None
    response: Json | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatPrompt:
    """A conversation for the chat template to render, oldest message first."""

    messages: tuple[ChatMessage, ...]
    tools: tuple[Tool, ...] = ()
    enable_thinking: bool | None = None
    """None: the server's default."""
    template_kwargs: Json = field(default_factory=dict)
    """Further variables of the template."""


Prompt = TextPrompt | TokenPrompt | ChatPrompt
