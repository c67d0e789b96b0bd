"""An engine on fused kernels beside the plain one, in Triton's interpreter."""

from __future__ import annotations

from collections import defaultdict
from copy import deepcopy
from dataclasses import replace

import pytest
from pairs import Pair
from replay import random_prompt, run, submit
from shown import noise_picture, show

from palimpsest.engine.commands import Command
from palimpsest.engine.engine import Engine
from palimpsest.engine.events import Committed, Event
from palimpsest.engine.loaded_model import LoadedModel
from palimpsest.engine.sampling import Sampling

CANVAS = 32


def fused_engine(plain: LoadedModel) -> Engine:
    capacity = replace(plain.capacity, max_num_seqs=4)
    return Engine(replace(plain, network=deepcopy(plain.network), capacity=capacity, fused=True))


def requests(pair: Pair) -> list[Command]:
    """A plain one of two canvases, with the largest seed, one that bends its draws, and one with a
    picture that is longer than the window.
    """
    usual = Sampling(max_output_tokens=2 * CANVAS, seed=2**64 - 1, max_denoising_steps=2)
    bent = replace(usual, top_k=3, max_output_tokens=4, max_denoising_steps=1)
    prompt = show(pair, [7, noise_picture(pair, 4, 5, seed=1), 3])
    brief = replace(usual, max_output_tokens=CANVAS, max_denoising_steps=1)
    seeing = submit(prompt.token_ids, brief, request_id=3)
    return [
        submit(random_prompt(30), usual),
        submit(random_prompt(5, seed=2), bent, request_id=2),
        replace(seeing, pictures=prompt.pictures),
    ]


@pytest.mark.slow
@pytest.mark.timeout(600)
# dead rows hold whatever the memory held
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_requests_get_the_tokens_of_the_plain_engine(calm: Pair, shallow: LoadedModel) -> None:
    wanted = run(Engine(shallow), requests(calm))
    made = run(fused_engine(shallow), requests(calm))
    assert tokens_of(made) == tokens_of(wanted)


def tokens_of(events: list[Event]) -> dict[int, list[int]]:
    """By request."""
    tokens = defaultdict(list)
    for event in events:
        if isinstance(event, Committed):
            tokens[event.request_id] += event.token_ids
    return tokens
