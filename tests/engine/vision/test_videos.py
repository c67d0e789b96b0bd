"""Videos in prompts, beside transformers' code for Gemma 4: DiffusionGemma's own class there takes
none, but reads frames as it reads images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pairs import Pair
from reference import record
from replay import answer, random_prompt, replayed_noise, run, submit
from shown import noise_picture, reference_inputs
from transformers import Gemma4Model, Gemma4Processor
from transformers.video_utils import VideoMetadata

from palimpsest.engine.engine import Engine
from palimpsest.engine.sampling import Sampling
from palimpsest.engine.training import tokenizer
from palimpsest.engine.vision.expansion import Expanded, PictureTokens, VideoFrame, expand
from palimpsest.engine.vision.patches import CutPicture
from palimpsest.engine.vision.tower import attend_pictures

TIMES = [0.0, 1.0, 2.0, 61.5]
"""Of the frames, in seconds."""
VIDEO = 503
"""A token of the calm model that stands for nothing else."""


@pytest.fixture(scope="module")
def frames(calm: Pair) -> list[CutPicture]:
    return [noise_picture(calm, 3, 4, seed=number) for number in range(len(TIMES))]


@pytest.mark.parametrize("fps", [1.0, 0.5, 2.0])
def test_a_video_becomes_the_text_of_the_references_processor(fps: float) -> None:
    seen = [0, 1, 2, 130]
    metadata = VideoMetadata(total_num_frames=131, fps=fps, frames_indices=seen)
    names: Any = SimpleNamespace(
        boi_token="<|image>", video_token="<|video|>", eoi_token="<image|>"
    )
    inputs = {"num_soft_tokens_per_video": [6], "video_metadata": [metadata]}
    wanted = Gemma4Processor.replace_video_token(names, inputs, 0)

    picture = CutPicture(rows=2, columns=3, values=b"")
    video = [VideoFrame(seconds=index / fps, picture=picture) for index in seen]
    ids = tokenizer.build()

    def encode(text: str) -> list[int]:
        return ids.encode(text, add_special_tokens=False).ids

    expanded = expand([tokenizer.PICTURES.video or 0], [video], tokenizer.PICTURES, encode)
    assert ids.decode(expanded.token_ids, skip_special_tokens=False) == wanted
    assert expanded.token_ids == encode(wanted)


def test_frames_give_the_soft_tokens_of_gemma_4(calm: Pair, frames: list[CutPicture]) -> None:
    vision = calm.model.network.vision
    assert vision is not None
    inputs = reference_inputs(calm, [], frames)
    encoder: Any = calm.reference.model.encoder
    with torch.inference_mode():
        features: Any = Gemma4Model.get_video_features(
            encoder,
            inputs["pixel_values"],
            inputs["image_position_ids"],
            torch.LongTensor([len(frames)]),
        ).pooler_output
        pictures = video_prompt(calm, frames).pictures
        made = vision(map(vision.patches, pictures), attend_pictures)
    torch.testing.assert_close(made, torch.cat(list(features)), atol=1e-5, rtol=0)


def test_the_engine_writes_what_the_reference_does_of_the_frames(
    calm: Pair, frames: list[CutPicture]
) -> None:
    prompt = video_prompt(calm, frames)
    image = calm.reference.config.image_token_id
    as_images = [image if token == VIDEO else token for token in prompt.token_ids]
    settings = reference_inputs(calm, as_images, frames)
    # as the processor marks a video
    settings["mm_token_type_ids"] *= 2
    asked = Sampling(max_output_tokens=calm.canvas_length, seed=3, max_denoising_steps=8)
    recording = record(
        calm.reference,
        as_images,
        seed=3,
        canvases=1,
        eos_token_id=None,
        max_denoising_steps=8,
        **settings,
    )

    model = calm.ending_at()
    pages = dict.fromkeys(model.capacity.pages, 64)
    model = replace(model, capacity=replace(model.capacity, pages=pages))
    engine = Engine(model, noise=replayed_noise(model))
    torch.manual_seed(3)
    request = replace(submit(prompt.token_ids, asked), pictures=prompt.pictures)
    assert answer(run(engine, [request])) == recording.tokens


def video_prompt(calm: Pair, frames: Sequence[CutPicture]) -> Expanded:
    """Random tokens, the video with random tokens for the times of its frames, and more of them."""
    config = calm.reference.config
    tokens = PictureTokens(
        begin=config.boi_token_id, image=config.image_token_id, end=config.eoi_token_id, video=VIDEO
    )
    video = [
        VideoFrame(seconds=seconds, picture=frame)
        for seconds, frame in zip(TIMES, frames, strict=True)
    ]
    ids = [*random_prompt(6), VIDEO, *random_prompt(4, seed=2)]
    return expand(ids, [video], tokens, lambda text: random_prompt(len(text), seed=len(text)))
