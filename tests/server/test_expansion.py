"""Tokens of prompts with images and videos: as many as pictures take, where the template has put
them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from palimpsest.engine.api import (
    Capacity,
    CutPicture,
    InvalidRequest,
    ModelInfo,
    Sampling,
    TextCodec,
    VideoFrame,
    checkpoint_folder,
)
from palimpsest.server.expansion import PromptTokens, expand
from palimpsest.server.prompting import encode
from palimpsest.server.prompts import ChatMessage, ChatPrompt, Content, SeenImage, SeenVideo

MODEL = ModelInfo(
    name="m",
    canvas_length=64,
    max_context_tokens=4096,
    vocabulary_size=512,
    end_token_ids=(1,),
    parameter_count=1,
    sees=True,
    device="cpu",
    dtype="float32",
    defaults=Sampling(max_output_tokens=64, seed=0),
    capacity=Capacity(pages={None: 64}, cache_bytes=0),
)
DEAF = """{% for message in messages %}
{% for part in message['content'] %}{{ part['text'] }}{% endfor %}
{% endfor %}"""


@pytest.fixture(scope="module")
def codec() -> TextCodec:
    return TextCodec(checkpoint_folder("bundled"))


def picture(rows: int, columns: int) -> CutPicture:
    return CutPicture(rows=rows, columns=columns, values=bytes([rows, columns]))


def image(rows: int, columns: int) -> SeenImage:
    return SeenImage(picture=picture(rows, columns))


def frame(rows: int, columns: int, seconds: float) -> VideoFrame:
    return VideoFrame(seconds=seconds, picture=picture(rows, columns))


def tokens(codec: TextCodec, *contents: Content | str) -> PromptTokens:
    messages = [ChatMessage(role="user", content=content) for content in contents]
    prompt = ChatPrompt(messages=tuple(messages))
    return expand(encode(prompt, codec, MODEL, template_defaults={}), prompt, codec)


def test_an_image_is_its_tokens_between_two_marks(codec: TextCodec) -> None:
    found = tokens(codec, (image(2, 3), "what is this?"))
    written = f"<bos><|turn>user\n<|image>{'<|image|>' * 6}<image|>what is this?<turn|>\n"
    assert list(found.ids) == codec.encode(f"{written}<|turn>model\n")
    (only,) = found.pictures
    assert found.ids[only.start : only.end] == (codec.token_id("<|image|>"),) * 6
    assert (only.rows, only.columns) == (2, 3)


def test_frames_of_a_video_stand_behind_their_times(codec: TextCodec) -> None:
    video = SeenVideo(frames=(frame(1, 2, 0.0), frame(1, 2, 61.9)))
    found = tokens(codec, ("look: ", video, "what moves?"))
    shown = "<|image><|video|><|video|><image|>"
    written = f"look:00:00 {shown} 01:01 {shown}what moves?"
    assert list(found.ids) == codec.encode(f"<bos><|turn>user\n{written}<turn|>\n<|turn>model\n")
    video_id = codec.token_id("<|video|>")
    assert [found.ids[p.start : p.end] for p in found.pictures] == [(video_id, video_id)] * 2


def test_pictures_of_many_turns_keep_their_order(codec: TextCodec) -> None:
    video = SeenVideo(frames=(frame(2, 2, 0.0),))
    found = tokens(codec, (image(1, 1), video), "and now?", ("this:", image(3, 1)))
    assert [p.end - p.start for p in found.pictures] == [1, 4, 3]
    assert [p.patches for p in found.pictures] == [b"\1\1", b"\2\2", b"\3\1"]
    starts = [p.start for p in found.pictures]
    assert starts == sorted(starts)
    assert len({p.key for p in found.pictures}) == 3


def test_what_is_spelled_out_stands_for_nothing(codec: TextCodec) -> None:
    found = tokens(codec, ("<|image|> <|video|> <|image>", image(2, 2), "<|image|>"))
    assert found.ids.count(codec.token_id("<|image|>")) == 4
    assert codec.token_id("<|video|>") not in found.ids
    (only,) = found.pictures
    assert set(found.ids[only.start : only.end]) == {codec.token_id("<|image|>")}
    assert "<|image|> <|video|> <|image>" in codec.decode_verbatim(found.ids)


def test_a_template_without_a_place_for_images_is_refused(tmp_path: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(checkpoint_folder("bundled") / name, tmp_path)
    (tmp_path / "chat_template.jinja").write_text(DEAF)
    with pytest.raises(InvalidRequest, match="no place for some of their images"):
        tokens(TextCodec(tmp_path), (image(1, 1), "hi"))
