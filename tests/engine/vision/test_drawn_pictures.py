"""The bundled model reads drawn pictures as transformers does from the same folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Any

import pytest
import torch
from pairs import Pair
from PIL import Image
from reference import record
from replay import answer, replayed_noise, run, submit
from transformers.models.gemma4.image_processing_pil_gemma4 import Gemma4ImageProcessorPil

from palimpsest.engine.engine import Engine
from palimpsest.engine.sampling import Sampling
from palimpsest.engine.training.batches import ExampleSource
from palimpsest.engine.training.drawing import Shape, drawn, ground
from palimpsest.engine.training.items import Item, Message, Still, assistant, user
from palimpsest.engine.training.rendering import Renderer
from palimpsest.engine.training.tokenizer import PICTURES
from palimpsest.engine.vision.expansion import Expanded, expand
from palimpsest.engine.vision.patches import PictureCutter, read_processing

CIRCLE = Shape(kind="circle", colour="red", centre=(0.3, 0.4), radius=0.18)
SQUARE = Shape(kind="square", colour="blue", centre=(0.7, 0.6), radius=0.18)
SIZES = [(96, 96), (160, 80), (80, 160), (240, 60), (60, 240)]
BUDGETS = [70, 140, 280, 560, 1120]
SEED = 3
IMAGE: Mapping[str, str] = {"type": "image"}
QUESTION = {"type": "text", "text": "what colour is the circle?"}


def picture(size: tuple[int, int] = SIZES[0], *shapes: Shape) -> Image.Image:
    return drawn(ground(Random(1), size), shapes or (CIRCLE, SQUARE), Random(2))


def asked(images: int) -> Message:
    """A user's question about so many images."""
    return user([*images * [IMAGE], QUESTION])


def prompt(pair: Pair, messages: tuple[Message, ...], *shown: Image.Image, budget: int) -> Expanded:
    """As the engine takes it."""
    encode = ExampleSource().encode
    stills = tuple(Still(each, ()) for each in shown)
    item = Item(messages=messages, canonical="", media=stills)
    cutter = PictureCutter(read_processing(pair.folder))
    media = [cutter.cut(each, budget) for each in shown]
    return expand(encode(Renderer().prompt(item)), media, PICTURES, encode)


def reference_inputs(
    pair: Pair, token_ids: list[int], *shown: Image.Image, budget: int
) -> dict[str, Any]:
    """As transformers' own processor gives them, read from the same folder."""
    processor: Any = Gemma4ImageProcessorPil.from_pretrained(pair.folder)
    images = processor(list(shown), max_soft_tokens=budget, return_tensors="pt")
    image = torch.tensor([token_ids]) == pair.reference.config.image_token_id
    return {
        "pixel_values": images["pixel_values"],
        "image_position_ids": images["image_position_ids"],
        "mm_token_type_ids": image.long(),
    }


def compare(pair: Pair, messages: tuple[Message, ...], *shown: Image.Image, budget: int) -> str:
    """Asserts that both write the same tokens, and returns their text."""
    shown_prompt = prompt(pair, messages, *shown, budget=budget)
    recording = record(
        pair.reference,
        shown_prompt.token_ids,
        seed=SEED,
        canvases=1,
        **reference_inputs(pair, shown_prompt.token_ids, *shown, budget=budget),
    )
    sampling = Sampling(max_output_tokens=pair.canvas_length, seed=SEED)
    torch.manual_seed(SEED)
    engine = Engine(pair.model, noise=replayed_noise(pair.model))
    request = replace(submit(shown_prompt.token_ids, sampling), pictures=shown_prompt.pictures)
    written = answer(run(engine, [request]))

    assert written == recording.answer(pair.model.limits.end_token_ids)
    return ExampleSource().tokenizer.decode(written)


@torch.inference_mode()
@pytest.mark.parametrize("size", SIZES)
def test_pictures_of_five_shapes_give_the_soft_tokens_of_transformers(
    bundled: Pair, size: tuple[int, int]
) -> None:
    shown = prompt(bundled, (asked(1),), picture(size), budget=70)
    inputs = reference_inputs(bundled, shown.token_ids, picture(size), budget=70)
    encoder, vision = bundled.reference.model.encoder, bundled.model.network.vision
    assert vision is not None
    expected = encoder.get_image_features(
        inputs["pixel_values"], inputs["image_position_ids"], return_dict=True
    )
    soft_tokens = vision([vision.patches(shown.pictures[0])])
    torch.testing.assert_close(soft_tokens, expected.pooler_output, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", SIZES)
def test_pictures_of_five_shapes_are_read_as_transformers_reads_them(
    bundled: Pair, size: tuple[int, int]
) -> None:
    compare(bundled, (asked(1),), picture(size), budget=70)


@pytest.mark.parametrize("budget", BUDGETS)
def test_pictures_of_five_budgets_are_read_as_transformers_reads_them(
    bundled: Pair, budget: int
) -> None:
    compare(bundled, (asked(1),), picture(), budget=budget)


def test_what_is_seen_is_answered(bundled: Pair) -> None:
    assert compare(bundled, (asked(1),), picture(), budget=70) == "red"
    other = replace(CIRCLE, colour="green")
    assert compare(bundled, (asked(1),), picture(SIZES[0], other, SQUARE), budget=70) == "green"


def test_a_question_may_stand_before_its_picture(bundled: Pair) -> None:
    assert compare(bundled, (user([QUESTION, IMAGE]),), picture(), budget=70) == "red"


def test_several_pictures_of_one_message_are_read_as_transformers_reads_them(
    bundled: Pair,
) -> None:
    others = [picture(size, SQUARE) for size in SIZES[1:3]]
    compare(bundled, (asked(3),), picture(), *others, budget=70)


def test_a_picture_of_an_earlier_turn_is_read_as_transformers_reads_it(bundled: Pair) -> None:
    messages = (asked(1), assistant("red"), user("what colour is the square?"))
    assert compare(bundled, messages, picture(), budget=70) == "blue"
