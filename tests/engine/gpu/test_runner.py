"""An engine on fused kernels beside the plain one, in Triton's interpreter."""

from __future__ import annotations

from collections import defaultdict
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from pairs import Pair
from replay import random_prompt, run, submit
from shown import noise_picture, show

from palimpsest.engine.commands import Command
from palimpsest.engine.engine import Engine
from palimpsest.engine.events import Committed, Event
from palimpsest.engine.gpu.runner import FusedRunner
from palimpsest.engine.loaded_model import LoadedModel
from palimpsest.engine.sampling import Sampling

CANVAS = 32


def fused_engine(plain: LoadedModel, *, fp8_head: bool = False) -> Engine:
    capacity = replace(plain.capacity, max_num_seqs=4)
    network = deepcopy(plain.network)
    return Engine(replace(plain, network=network, capacity=capacity, fused=True, fp8_head=fp8_head))


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


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_logits_are_read_off_the_embedding_in_eight_bits_if_so_asked(shallow: LoadedModel) -> None:
    once = Sampling(max_output_tokens=CANVAS, seed=5, max_denoising_steps=1)
    usual, turned = (fused_engine(shallow, fp8_head=True) for _ in range(2))
    assert isinstance(turned.runner, FusedRunner)
    head = turned.runner.network.weights.head
    assert head is not None
    assert head.scales is not None
    # each token has what was the row of the one before
    head.values.copy_(head.values.view(torch.uint8).roll(1, 0).view(head.values.dtype))
    head.scales.copy_(head.scales.roll(1))
    made = [tokens_of(run(e, [submit(random_prompt(20), once)])) for e in (usual, turned)]
    (tokens,), (later,) = (of_one.values() for of_one in made)
    assert len(set(tokens)) > 1
    assert later == [(token + 1) % len(head.values) for token in tokens]


def tokens_of(events: list[Event]) -> dict[int, list[int]]:
    """By request."""
    tokens = defaultdict(list)
    for event in events:
        if isinstance(event, Committed):
            tokens[event.request_id] += event.token_ids
    return tokens
