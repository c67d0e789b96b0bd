"""Prompts with images and videos, from every door to an engine that sees, and back."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import httpx
import openai
import pytest
from calls import details_of, found
from files import encoded, film, noise
from google.rpc import error_details_pb2
from openai import OpenAI
from openai_calls import connected
from server_process import ServerProcess

from palimpsest.v1 import chat_pb2, decide_pb2, generation_pb2, model_pb2, prompt_pb2, sampling_pb2

LARGE = encoded(noise((480, 300)))
BLACK = encoded(noise((480, 300)).point(lambda _: 0))
ONE_STEP = {"diffusion": {"max_denoising_steps": 1}}
USER = chat_pb2.CHAT_ROLE_USER
Part = chat_pb2.ContentPart


def image(**fields: Any) -> Part:  # noqa: ANN401 - of the message
    return Part(image=chat_pb2.Image(**{"data": LARGE, **fields}))


def frames(count: int, **fields: Any) -> Part:  # noqa: ANN401 - of the message
    images = [chat_pb2.Image(data=LARGE) for _ in range(count)]
    return Part(video=chat_pb2.Video(frames=chat_pb2.VideoFrames(images=images), **fields))


def asking(*parts: Part | str) -> prompt_pb2.Prompt:
    said = [Part(text=part) if isinstance(part, str) else part for part in parts]
    message = chat_pb2.ChatMessage(role=USER, parts=said)
    return prompt_pb2.Prompt(chat=chat_pb2.ChatPrompt(messages=[message]))


def count(server: ServerProcess, *parts: Part | str) -> int:
    request = model_pb2.CountTokensRequest(prompt=asking(*parts))
    return server.stub.CountTokens(request).token_count


def generated(
    server: ServerProcess,
    *parts: Part | str,
    **sampling: Any,  # noqa: ANN401 - of the message
) -> generation_pb2.GenerateResponse:
    settings = {"seed": 7, "max_output_tokens": 64, "max_denoising_steps": 2, **sampling}
    return server.stub.Generate(
        generation_pb2.GenerateRequest(
            input=generation_pb2.GenerationInput(
                prompt=asking(*parts), sampling=sampling_pb2.SamplingParameters(**settings)
            )
        )
    )


def refused(server: ServerProcess, *parts: Part | str) -> tuple[str, str]:
    """Field and message."""
    with pytest.raises(grpc.RpcError) as caught:
        count(server, *parts)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    bad = error_details_pb2.BadRequest()
    assert found(details_of(caught.value), bad)
    return bad.field_violations[0].field, bad.field_violations[0].description


@pytest.mark.parametrize(
    ("budget", "tokens"),
    [(None, 6 * 10), (70, 6 * 10), (140, 9 * 14), (280, 13 * 21), (1120, 26 * 42)],
)
def test_an_image_takes_the_tokens_of_its_budget(
    seeing: ServerProcess, budget: int | None, tokens: int
) -> None:
    alone = count(seeing, "what?")
    assert count(seeing, image(max_soft_tokens=budget), "what?") == alone + tokens + 2


def test_what_is_counted_is_what_is_read(seeing: ServerProcess) -> None:
    answer = generated(seeing, image(), "what?")
    assert answer.usage.prompt_tokens == count(seeing, image(), "what?")


def test_another_image_gives_another_answer_and_the_same_one_the_same(
    seeing: ServerProcess,
) -> None:
    scores = [
        [round(score.log_probability, 3) for score in decided(seeing, image(data=data), "what?")]
        for data in (LARGE, BLACK, LARGE)
    ]
    assert scores[0] == scores[2] != scores[1]


def decided(server: ServerProcess, *parts: Part | str) -> list[decide_pb2.LabelScore]:
    question = decide_pb2.Question(text="count:", labels=["1", "2"])
    asked = decide_pb2.DecideRequest(prompt=asking(*parts), questions=[question, question], seed=1)
    return [score for each in server.stub.Decide(asked).decisions for score in each.scores]


def test_all_candidates_see(seeing: ServerProcess) -> None:
    answer = generated(seeing, image(max_soft_tokens=280), "what?", candidate_count=2)
    (more,) = answer.more_candidates
    assert more.usage.prompt_tokens == answer.usage.prompt_tokens > 260


def test_frames_take_their_tokens_and_their_times(seeing: ServerProcess) -> None:
    stamps = [" 00:00 ", " 00:01 ", " 00:01 "]
    alone, texts = count(seeing, "x", "what?"), count(seeing, "x", "".join(stamps)[1:], "what?")
    frame = 6 * 10 + 2
    with_frames = count(seeing, "x", frames(3, fps=1.5), "what?")
    assert with_frames == pytest.approx(texts + 3 * frame, abs=len(stamps))
    assert with_frames > alone + 3 * frame


def test_more_frames_than_are_seen_are_taken_evenly(seeing: ServerProcess) -> None:
    frame = 6 * 10 + 2
    assert 32 * frame < count(seeing, frames(40), "what?") < 33 * frame + 40 * 9


def test_a_video_is_read_from_its_file(seeing: ServerProcess) -> None:
    pytest.importorskip("av")
    answer = generated(seeing, Part(video=chat_pb2.Video(data=film("mp4", 3))), "what?")
    assert 3 * 60 < answer.usage.prompt_tokens < 3 * 90


def test_a_prompt_over_the_context_says_what_pictures_take(seeing: ServerProcess) -> None:
    parts = [image(max_soft_tokens=1120) for _ in range(4)]
    with pytest.raises(grpc.RpcError, match="tokens, 4368 of them of pictures, and one canvas"):
        generated(seeing, *parts, "what?")


@pytest.mark.parametrize(
    ("part", "field", "complaint"),
    [
        (Part(image=chat_pb2.Image()), "image", "is empty: set data or url"),
        (image(url="https://a.example/"), "image", "has both: set data or url"),
        (image(data=b"<svg/>"), "image.data", "6 bytes begin like none of PNG, JPEG, WebP"),
        (image(mime_type="image/webp"), "image.mime_type", "'image/webp' is not 'image/png'"),
        (image(max_soft_tokens=71), "image.max_soft_tokens", "71 is none of 70, 140"),
        (image(data=encoded(noise())[:900]), "image.data", "is damaged"),
        (image(data=b"", url="https://a.example/"), "image.url", "start it with --allowed-media"),
        (Part(video=chat_pb2.Video()), "video", "is empty: set data, frames or url"),
        (frames(0), "video", "is empty: set data, frames or url"),
        (frames(1, fps=0.0), "video.fps", "0.0 is not above 0 and at most 240"),
        (frames(9, fps=0.1), "video.frames.images", "9 at 0.1 a second last more than 60 s"),
        (frames(1, mime_type="a/b"), "video.mime_type", "frames have their own"),
        (
            Part(video=chat_pb2.Video(data=encoded(noise()))),
            "video.data",
            "begin like none of MP4, WebM",
        ),
    ],
)
def test_what_cannot_be_seen_is_refused_by_field_and_reason(
    seeing: ServerProcess, part: Part, field: str, complaint: str
) -> None:
    named, reason = refused(seeing, "what?", part)
    assert named == f"prompt.chat.messages[0].parts[1].{field}"
    assert complaint in reason


def test_a_frame_is_refused_by_its_place(seeing: ServerProcess) -> None:
    part = frames(3)
    part.video.frames.images[1].data = b"BM"
    assert refused(seeing, part)[0].endswith("parts[0].video.frames.images[1].data")


def test_only_a_user_shows_pictures(seeing: ServerProcess) -> None:
    prompt = asking(image(), "what?")
    prompt.chat.messages[0].role = chat_pb2.CHAT_ROLE_SYSTEM
    with pytest.raises(grpc.RpcError, match=r"parts\[0\]\.image: only a USER message has this"):
        seeing.stub.CountTokens(model_pb2.CountTokensRequest(prompt=prompt))


def test_more_images_than_are_looked_at_are_refused(seeing: ServerProcess) -> None:
    with pytest.raises(grpc.RpcError, match="65 images are more than 64"):
        count(seeing, *[image(data=b"BM") for _ in range(65)])


def test_a_message_of_more_than_four_mebibytes_arrives(seeing: ServerProcess) -> None:
    large = encoded(noise((1_600, 1_200)), "BMP")
    assert len(large) > 5 * 2**20
    assert count(seeing, image(data=large, max_soft_tokens=280), "what?") > 200


def test_the_command_line_shows_files(seeing: ServerProcess, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(LARGE)
    asked = ["--image", str(tmp_path / "a.png"), "what?", "--max-output-tokens", "1", "--json"]
    command = [sys.executable, "-m", "palimpsest.cli", "generate", "--address", seeing.address]
    run = subprocess.run([*command, *asked], capture_output=True, text=True, check=True)
    completed = json.loads(run.stdout.splitlines()[-1])
    assert completed["usage"]["prompt_tokens"] == count(seeing, image(), "what?")


def test_a_browser_shows_them_in_base64(seeing: ServerProcess) -> None:
    part = {"image": {"data": base64.b64encode(LARGE).decode(), "maxSoftTokens": 70}}
    message = {"role": "CHAT_ROLE_USER", "parts": [part, {"text": "what?"}]}
    answer = httpx.post(
        f"{seeing.url}/palimpsest.v1.DiffusionService/CountTokens",
        json={"prompt": {"chat": {"messages": [message]}}},
    )
    expected = count(seeing, image(max_soft_tokens=70), "what?")
    assert answer.json() == {"tokenCount": expected}


# OpenAI's clients


@pytest.fixture(scope="module")
def client(seeing: ServerProcess) -> Any:  # noqa: ANN401 - a generator
    with connected(seeing) as opened:
        yield opened


def data_url(data: bytes, mime_type: str = "image/png") -> str:
    return f"data:{mime_type};base64,{base64.b64encode(data).decode()}"


def chat_tokens(client: OpenAI, *parts: dict[str, Any]) -> int:
    messages: Any = [{"role": "user", "content": [*parts, {"type": "text", "text": "what?"}]}]
    answer = client.chat.completions.create(
        model="palimpsest-tiny", max_tokens=1, messages=messages, extra_body=ONE_STEP
    )
    assert answer.usage is not None
    return answer.usage.prompt_tokens


@pytest.mark.parametrize(("detail", "budget"), [("auto", None), ("low", 70)])
def test_a_detail_is_a_budget(
    seeing: ServerProcess, client: OpenAI, detail: str, budget: int | None
) -> None:
    url = data_url(LARGE)
    expected = count(seeing, image(max_soft_tokens=budget), "what?")
    part = {"type": "image_url", "image_url": {"url": url, "detail": detail}}
    assert chat_tokens(client, part) == expected
    shown = {"type": "input_image", "image_url": url, "detail": detail}
    asked: Any = [{"role": "user", "content": [shown, {"type": "input_text", "text": "what?"}]}]
    answer = client.responses.create(
        model="palimpsest-tiny", max_output_tokens=1, input=asked, extra_body=ONE_STEP
    )
    assert answer.usage is not None
    assert answer.usage.input_tokens == expected


def test_a_video_is_a_data_url_too(client: OpenAI) -> None:
    pytest.importorskip("av")
    url = data_url(film("webm", 2), "video/webm")
    assert chat_tokens(client, {"type": "video_url", "video_url": {"url": url}}) > 2 * 60


def test_a_refusal_names_the_part_that_was_sent(client: OpenAI) -> None:
    part = {"type": "image_url", "image_url": {"url": data_url(b"nothing")}}
    with pytest.raises(openai.BadRequestError, match="begin like none of PNG") as caught:
        chat_tokens(client, part)
    assert caught.value.param == "messages[0].content[0].image_url"
