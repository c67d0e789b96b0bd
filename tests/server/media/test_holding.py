"""Files of requests in flight: no more of them than memory was set aside for."""

from __future__ import annotations

import pytest

from palimpsest.engine.api import Overloaded
from palimpsest.server.media.holding import Holding
from palimpsest.server.prompts import ChatMessage, ChatPrompt, ImagePart, TextPrompt, VideoPart


def image(size: int) -> ImagePart:
    return ImagePart(data=bytes(size), url="", mime_type="", max_soft_tokens=None)


def asking(*parts: ImagePart | VideoPart | str) -> ChatPrompt:
    return ChatPrompt(messages=(ChatMessage(role="user", content=parts),))


def test_what_is_over_the_bound_has_to_wait_until_others_are_done() -> None:
    holding = Holding(100)
    with holding.hold(asking("a", image(60))):
        with holding.hold(asking(image(40))), holding.hold(TextPrompt(text="a")):
            pass
        with (
            pytest.raises(Overloaded, match="take 60 bytes, and at most 100"),
            holding.hold(asking(image(41))),
        ):
            pass
    with holding.hold(asking(image(41))):
        pass


def test_frames_of_a_video_are_held_too() -> None:
    video = VideoPart(
        data=b"", url="", frames=(image(60),) * 2, mime_type="", fps=1.0, max_soft_tokens=None
    )
    holding = Holding(100)
    with holding.hold(asking(video)), pytest.raises(Overloaded), holding.hold(asking(image(1))):
        pass


def test_one_alone_may_take_more() -> None:
    with Holding(10).hold(asking(image(11))):
        pass
