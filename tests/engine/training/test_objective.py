"""Batches and objective: training runs the serving network, on canvases as generation has them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random

import pytest
import torch
from torch import Tensor

from palimpsest.engine.cache import SequenceCache
from palimpsest.engine.config import ModelConfig
from palimpsest.engine.model import DiffusionGemma
from palimpsest.engine.segments import PictureSegment, Segment, run_segments
from palimpsest.engine.training.batches import (
    COPIES,
    Example,
    ExampleSource,
    alike,
    collate,
)
from palimpsest.engine.training.objective import look, loss_of, predict, sight_loss
from palimpsest.engine.training.skills import SEEING
from palimpsest.engine.training.states import NoisyCanvases, corrupt, denoise_once
from palimpsest.engine.vision.encoder_cache import EncoderCache

CPU = torch.device("cpu")


def _examples(config: ModelConfig, skills: Iterable[str]) -> list[Example]:
    """One of each."""
    random, source = Random(2), ExampleSource()
    return [
        source.draw(skill, random, canvas_length=config.canvas_length, filling_weight=1.0)
        for skill in skills
    ]


@torch.no_grad()
def test_a_training_pass_sees_what_serving_sees(
    config: ModelConfig, network: DiffusionGemma
) -> None:
    _compare(
        network, _examples(config, ["reverse", "table", "tool_call", "think", "facts", "function"])
    )


@torch.no_grad()
def test_a_training_pass_sees_the_pictures_that_serving_sees(seeing: DiffusionGemma) -> None:
    _compare(seeing, _examples(seeing.config, sorted(SEEING)))


def _compare(network: DiffusionGemma, examples: list[Example]) -> None:
    batch = collate(examples, CPU)
    state = NoisyCanvases(
        batch.token_ids[batch.on_canvas].view_as(batch.answer),
        torch.zeros(*batch.answer.shape, network.config.hidden_size),
    )
    together = predict(network, batch, state, look(network, batch)).split(1)
    served = [hidden for example in examples for hidden in _served(network, example)]

    for trained, hidden in zip(together, served, strict=True):
        torch.testing.assert_close(trained[0], network.logits(hidden), rtol=0, atol=2e-4)


def _served(network: DiffusionGemma, example: Example) -> Iterator[Tensor]:
    """Hidden states of each canvas of an answer, as often as training has it in a batch."""
    cache = SequenceCache(network.config, dtype=torch.float32, device=CPU)
    pending, start = example.prompt, 0
    for canvas in example.canvases:
        prefix = Segment(
            cache=cache,
            token_ids=torch.tensor(pending),
            start=start,
            causal=True,
            pictures=_shown(network, example) if start == 0 else (),
        )
        start = prefix.end
        drawn = Segment(cache=cache, token_ids=torch.tensor(canvas), start=start, causal=False)
        yield from COPIES * [run_segments(network, [prefix, drawn])[1]]
        pending = canvas


def _shown(network: DiffusionGemma, example: Example) -> tuple[PictureSegment, ...]:
    if network.vision is None or not example.pictures:
        return ()
    embeddings = EncoderCache(network.vision).embeddings(example.pictures)
    return tuple(
        PictureSegment(start=p.start, end=p.end, embeddings=embeddings[p.key])
        for p in example.pictures
    )


def test_long_answers_are_trained_on_every_canvas(config: ModelConfig) -> None:
    (example,) = _examples(config, ["function"])
    batch = collate([example], CPU)
    after_prompt = batch.start[::COPIES] - len(example.prompt)

    assert len(example.canvases) > 1
    assert after_prompt.tolist() == [i * config.canvas_length for i in range(len(after_prompt))]
    assert batch.answer.sum() == COPIES * example.length


def test_examples_of_about_a_size_are_computed_together(config: ModelConfig) -> None:
    examples = _examples(config, ["add", "tool_call", "reverse", "tool_call", "table"])
    groups = alike(examples)

    assert groups == [[examples[i] for i in group] for group in ((0, 2, 4), (1, 3))]


def test_the_loss_falls_on_examples_seen_again(
    config: ModelConfig, network: DiffusionGemma
) -> None:
    examples = _examples(config, 4 * ["add", "reverse"])
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(12):
        loss = loss_of(network, examples, torch.Generator().manual_seed(1))
        losses.append(loss.total.item())
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()

    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_compiled_layers_have_the_same_loss_and_gradients(calm_folder: Path) -> None:
    # in a process of its own: the checks of shapes in this one cannot be compiled
    program = Path(__file__).with_name("compiled_layers.py")
    subprocess.run([sys.executable, program, calm_folder], check=True)


def test_the_tower_learns_from_what_is_asked_about_pictures(seeing: DiffusionGemma) -> None:
    examples = _examples(seeing.config, ["see_colour", "see_map"])
    loss_of(seeing, examples, torch.Generator().manual_seed(1)).total.backward()
    assert seeing.vision is not None
    assert all(p.grad is not None and p.grad.any() for p in seeing.vision.parameters())


def test_what_each_soft_token_shows_is_learned_from_the_pictures_alone(
    seeing: DiffusionGemma,
) -> None:
    batch = collate(_examples(seeing.config, ["see_map", "see_count", "see_motion"]), CPU)
    assert seeing.vision is not None
    optimizer = torch.optim.AdamW(seeing.vision.parameters(), lr=3e-3)
    losses = []
    for _ in range(12):
        shown = look(seeing, batch)
        assert shown is not None
        assert len(shown) == len(batch.sights)
        loss = sight_loss(seeing, shown, batch)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    assert losses[-1] < 0.5 * losses[0]


def test_noise_hits_some_canvases_throughout_and_leaves_the_head_of_others(
    config: ModelConfig,
) -> None:
    clean = torch.full((400, 16), 7)
    answer = torch.ones(400, 16, dtype=torch.bool)
    state, full = corrupt(clean, answer, config, torch.Generator().manual_seed(0))
    hit = state.token_ids != clean
    heads = [not row[: int(row.int().argmax())].any() and row.any() for row in hit]

    assert 0.25 < full.float().mean() < 0.45
    assert hit[full].float().mean() > 0.95
    assert sum(heads) > 0
    assert state.soft_embedding.abs().max() == 0


def test_a_step_keeps_what_the_network_is_sure_of_and_renews_the_rest(
    config: ModelConfig, network: DiffusionGemma
) -> None:
    logits = torch.zeros(2, 8, config.vocabulary_size)
    logits[:, :5, 9] = 30.0
    after = denoise_once(network, logits, torch.Generator().manual_seed(0))

    assert (after.token_ids[:, :5] == 9).all()
    assert (after.token_ids[:, 5:] != 9).any()
    sure = network.embed_tokens.weight[9] * config.hidden_size**0.5
    torch.testing.assert_close(after.soft_embedding[0, 0], sure, rtol=1e-3, atol=1e-3)
