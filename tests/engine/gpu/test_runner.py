"""An engine on fused kernels beside the plain one, in Triton's interpreter."""

from __future__ import annotations

from collections import defaultdict
from copy import deepcopy
from dataclasses import replace

import pytest
from replay import random_prompt, run, submit

from palimpsest.engine.engine import Engine
from palimpsest.engine.loaded_model import LoadedModel
from palimpsest.engine.messages import Command, Committed, Event
from palimpsest.engine.sampling import Sampling

CANVAS = 32


def fused_engine(plain: LoadedModel) -> Engine:
    capacity = replace(plain.capacity, max_num_seqs=4)
    return Engine(replace(plain, network=deepcopy(plain.network), capacity=capacity, fused=True))


def requests() -> list[Command]:
    """A plain one of two canvases, with the largest seed, and one that bends its draws."""
    usual = Sampling(max_output_tokens=2 * CANVAS, seed=2**64 - 1, max_denoising_steps=2)
    bent = replace(usual, top_k=3, max_output_tokens=4, max_denoising_steps=1)
    return [
        submit(random_prompt(30), usual),
        submit(random_prompt(5, seed=2), bent, request_id=2),
    ]


@pytest.mark.slow
@pytest.mark.timeout(600)
# dead rows hold whatever the memory held
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_requests_get_the_tokens_of_the_plain_engine(shallow: LoadedModel) -> None:
    wanted = run(Engine(shallow), requests())
    made = run(fused_engine(shallow), requests())
    assert tokens_of(made) == tokens_of(wanted)


def tokens_of(events: list[Event]) -> dict[int, list[int]]:
    """By request."""
    tokens = defaultdict(list)
    for event in events:
        if isinstance(event, Committed):
            tokens[event.request_id] += event.token_ids
    return tokens
