"""Pictures in prompts: the engine reads them as the reference does, in every way to cut a pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from pairs import Pair
from reference import record
from replay import answer, replayed_noise, run, submit
from shown import ShownPrompt, noise_picture, show

from palimpsest.engine.commands import Submit
from palimpsest.engine.engine import Engine
from palimpsest.engine.events import Encoded, Event, Usage
from palimpsest.engine.runner import PlainRunner
from palimpsest.engine.sampling import Sampling
from palimpsest.engine.vision.encoder_cache import EncoderCache
from palimpsest.engine.vision.patches import CutPicture

CANVASES = 2
PAGES = 64
SMALL_CHUNK = 10
"""Less than most pictures."""


@pytest.fixture(scope="module")
def pictures(calm: Pair) -> dict[str, CutPicture]:
    """Of all shapes; `wide` is longer than the window of the sliding layers."""
    shapes = {"dot": (1, 1), "tall": (4, 2), "square": (3, 3), "wide": (2, 20), "row": (4, 17)}
    return {
        name: noise_picture(calm, *shape, seed=number)
        for number, (name, shape) in enumerate(shapes.items())
    }


@pytest.fixture(scope="module", params=["one", "several", "adjacent", "first", "long"])
def prompt(
    calm: Pair, pictures: dict[str, CutPicture], request: pytest.FixtureRequest
) -> ShownPrompt:
    p = pictures
    layouts: dict[str, Sequence[int | CutPicture]] = {
        "one": [5, p["square"], 9],
        "several": [3, p["tall"], 40, p["wide"], 6, p["dot"], 20],
        "adjacent": [70, p["square"], p["square"], p["tall"], 4],
        "first": [p["wide"], 1],
        "long": [30, p["row"], 30, p["row"], 3],
    }
    return show(calm, layouts[request.param])


def engine(calm: Pair, *, chunk: int = 1024, replayed: bool = False) -> Engine:
    pages = dict.fromkeys(calm.model.capacity.pages, PAGES)
    capacity = replace(calm.model.capacity, pages=pages, prefill_tokens=chunk)
    model = replace(calm.ending_at(), capacity=capacity)
    return Engine(model, noise=replayed_noise(model) if replayed else None)


def asking(calm: Pair, prompt: ShownPrompt, *, request_id: int = 1) -> Submit:
    sampling = Sampling(
        max_output_tokens=CANVASES * calm.canvas_length, seed=3, max_denoising_steps=8
    )
    asked = submit(prompt.token_ids, sampling, request_id=request_id)
    return replace(asked, pictures=prompt.pictures)


def usage(events: list[Event]) -> Usage:
    return events[-1].usage  # type: ignore[union-attr]


def test_the_engine_writes_the_references_tokens(calm: Pair, prompt: ShownPrompt) -> None:
    recording = record(
        calm.reference,
        prompt.token_ids,
        seed=3,
        canvases=CANVASES,
        eos_token_id=None,
        max_denoising_steps=8,
        **prompt.settings,
    )
    torch.manual_seed(3)
    events = run(engine(calm, replayed=True), [asking(calm, prompt)])
    assert answer(events) == recording.tokens


def test_small_chunks_change_nothing(calm: Pair, prompt: ShownPrompt) -> None:
    asked = asking(calm, prompt)
    whole = answer(run(engine(calm), [asked]))
    assert answer(run(engine(calm, chunk=SMALL_CHUNK), [asked])) == whole


def test_what_a_picture_shows_matters(calm: Pair, pictures: dict[str, CutPicture]) -> None:
    first = show(calm, [5, pictures["square"], 9])
    second = show(calm, [5, noise_picture(calm, 3, 3, seed=99), 9])
    assert first.token_ids == second.token_ids
    texts = [answer(run(engine(calm), [asking(calm, shown)])) for shown in (first, second)]
    assert texts[0] != texts[1]


def test_company_changes_nothing(calm: Pair, pictures: dict[str, CutPicture]) -> None:
    prompts = [
        show(calm, [4, pictures["wide"], 8], seed=1),
        show(calm, [20, pictures["tall"], 3], seed=2),
        show(calm, [9, pictures["square"], 2, pictures["wide"], 5], seed=3),
    ]
    requests = [asking(calm, shown, request_id=i) for i, shown in enumerate(prompts)]
    together = run(engine(calm, chunk=SMALL_CHUNK), list(requests))
    for request in requests:
        own = [e for e in together if getattr(e, "request_id", None) == request.request_id]
        assert answer(own) == answer(run(engine(calm), [request]))


def test_the_same_picture_is_looked_at_once(calm: Pair, pictures: dict[str, CutPicture]) -> None:
    shown = show(calm, [70, pictures["square"], 3, pictures["square"], 3])
    serving = engine(calm)
    assert isinstance(serving.runner, PlainRunner)
    assert serving.runner.encoder_cache is not None
    run(serving, [asking(calm, shown)])
    run(serving, [asking(calm, shown, request_id=2)])
    assert serving.runner.encoder_cache.encoded == 1


def test_the_pictures_asked_for_last_are_remembered_as_far_as_there_is_room(
    calm: Pair, pictures: dict[str, CutPicture]
) -> None:
    vision = calm.model.network.vision
    assert vision is not None
    asked = show(calm, [1, pictures["square"], 1, pictures["tall"], 1]).pictures
    alone = EncoderCache(vision).embeddings(asked)
    room = alone[asked[1].key].nbytes
    cache = EncoderCache(vision, kept_bytes=room)
    with torch.inference_mode():
        for picture in (*asked, asked[1], asked[0]):
            (rows,) = cache.embeddings([picture]).values()
            torch.testing.assert_close(rows, alone[picture.key], atol=1e-5, rtol=0)
    assert cache.encoded == 3


def test_a_prefix_with_pictures_is_found_again(calm: Pair, pictures: dict[str, CutPicture]) -> None:
    shown = show(calm, [40, pictures["row"], 100])
    serving = engine(calm)
    first = run(serving, [asking(calm, shown)])
    second = run(serving, [asking(calm, shown, request_id=2)])
    assert usage(first).cached_prompt_tokens == 0
    assert usage(second).cached_prompt_tokens >= 192
    assert answer(second) == answer(first)


def test_a_prefix_ends_before_a_picture_that_it_would_cut(
    calm: Pair, pictures: dict[str, CutPicture]
) -> None:
    # a page ends inside the picture
    shown = show(calm, [90, pictures["wide"], 3])
    serving = engine(calm)
    first = run(serving, [asking(calm, shown)])
    second = run(serving, [asking(calm, shown, request_id=2)])
    assert usage(second).cached_prompt_tokens == 64
    assert answer(second) == answer(first)


def test_another_picture_in_the_same_place_is_not_found(
    calm: Pair, pictures: dict[str, CutPicture]
) -> None:
    serving = engine(calm)
    run(serving, [asking(calm, show(calm, [70, pictures["row"], 100]))])
    other = show(calm, [70, noise_picture(calm, 4, 17, seed=99), 100])
    again = run(serving, [asking(calm, other, request_id=2)])
    assert usage(again).cached_prompt_tokens == 64
    assert answer(again) == answer(run(engine(calm), [asking(calm, other)]))


def test_a_picture_is_encoded_in_one_pass_whatever_the_bound(
    calm: Pair, pictures: dict[str, CutPicture]
) -> None:
    shown = show(calm, [4, pictures["row"], 4])
    serving = engine(calm, chunk=SMALL_CHUNK)
    events = run(serving, [asking(calm, shown)])
    encoded = [event for event in events if isinstance(event, Encoded)]
    assert encoded[0].token_count == len(shown.token_ids)
