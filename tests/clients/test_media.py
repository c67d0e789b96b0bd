"""Images and videos as both clients send them."""

from __future__ import annotations

from pathlib import Path

import pytest

from palimpsest import Image, Video
from palimpsest.errors import InvalidRequest
from palimpsest.prompts import PromptSource, prompt_of
from palimpsest.v1 import chat_pb2


def parts(*content: object) -> list[chat_pb2.ContentPart]:
    source = PromptSource(messages=[{"role": "user", "content": list(content)}])
    return list(prompt_of(source).chat.messages[0].parts)


def test_a_file_is_sent_by_its_path_or_as_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"png")
    sent = parts(Image(path), Image(str(path)), Image(b"png", 70, mime_type="image/png"), "what?")
    assert [part.image.data for part in sent[:3]] == [b"png"] * 3
    assert not sent[0].image.HasField("max_soft_tokens")
    assert (sent[2].image.max_soft_tokens, sent[2].image.mime_type) == (70, "image/png")
    assert sent[3].text == "what?"


def test_a_data_url_is_the_file_in_it() -> None:
    image, video = parts(Image("data:image/png;base64,cG5n"), Video("data:video/mp4;base64,bXA0"))
    assert (image.image.data, video.video.data) == (b"png", b"mp4")
    assert not image.image.url


def test_a_url_is_left_to_the_server() -> None:
    image, video = parts(Image("https://a.example/b"), Video("http://a.example/c", fps=2))
    assert image.image.url == "https://a.example/b"
    assert (video.video.url, video.video.fps) == ("http://a.example/c", 2)


def test_a_video_may_be_its_frames() -> None:
    (part,) = parts(Video([Image(b"1"), Image(b"2")], fps=0.5, max_soft_tokens=140))
    assert [frame.data for frame in part.video.frames.images] == [b"1", b"2"]
    assert (part.video.fps, part.video.max_soft_tokens) == (0.5, 140)


def test_a_prompt_may_be_parts() -> None:
    (message,) = prompt_of(PromptSource(prompt=[Image(b"1"), "what?"])).chat.messages
    assert [part.WhichOneof("kind") for part in message.parts] == ["image", "text"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (Image("nowhere.png"), r"content\[0\]: nowhere\.png: No such file"),
        (Image("data:image/png,png"), r"content\[0\]: data:image/png,png… is no data URL that can"),
        (Image("data:;base64,p"), r"content\[0\]: data:;base64,p… is no data URL that can be read"),
        (b"bytes", r"content\[0\]: b'bytes' is not text, an Image or a Video"),
        (Video([Image("nowhere.png")]), r"content\[0\]\.frames\[0\]: nowhere\.png: No such"),
    ],
)
def test_what_cannot_be_sent_is_refused_by_its_place(content: object, complaint: str) -> None:
    with pytest.raises(InvalidRequest, match=rf"input\.prompt\.chat\.messages\[0\]\.{complaint}"):
        parts(content)


def test_only_a_user_sends_parts() -> None:
    source = PromptSource(messages=[{"role": "system", "content": [Image(b"1")]}])
    with pytest.raises(InvalidRequest, match="is not text"):
        prompt_of(source)
