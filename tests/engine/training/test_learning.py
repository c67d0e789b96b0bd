"""Batches, objective and loop: training runs the serving network and can be broken off."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
import torch

from palimpsest.engine.cache import SequenceCache
from palimpsest.engine.config import ModelConfig, read_config
from palimpsest.engine.model import DiffusionGemma, Rows
from palimpsest.engine.segments import Segment, run_segments
from palimpsest.engine.training import tokenizer
from palimpsest.engine.training.batches import (
    BatchAttention,
    Example,
    Mixture,
    collate,
    make_examples,
)
from palimpsest.engine.training.export import export
from palimpsest.engine.training.loop import Recipe, Trainer, initialise
from palimpsest.engine.training.objective import loss_of
from palimpsest.engine.training.tasks import TASKS
from palimpsest.engine.weights import load_model

CPU = torch.device("cpu")
RECIPE = Recipe(steps=4, seed=5, short_examples=4, long_examples=2, warmup_steps=2)


@pytest.fixture(scope="module")
def config(calm_folder: Path) -> ModelConfig:
    return read_config(calm_folder)


@pytest.fixture
def network(config: ModelConfig) -> DiffusionGemma:
    torch.manual_seed(0)
    network = DiffusionGemma(config)
    initialise(network)
    return network


def _examples(config: ModelConfig, count: int) -> list[Example]:
    mixture = Mixture(
        tasks=tuple(TASKS.values()),
        weights=(1.0,) * len(TASKS),
        canvas_length=config.canvas_length,
        filling_weight=1.0,
    )
    return make_examples(tokenizer.build(), mixture, count=count, random=Random(2))


@torch.no_grad()
def test_a_training_pass_sees_what_serving_sees(
    config: ModelConfig, network: DiffusionGemma
) -> None:
    examples = _examples(config, 6)
    batch = collate(examples)
    rows = Rows(
        token_ids=batch.token_ids,
        positions=batch.positions,
        on_canvas=batch.on_canvas,
        soft_embedding=None,
    )
    together = network(rows, BatchAttention(batch, config))[batch.on_canvas]

    for example, trained in zip(examples, together.split(config.canvas_length), strict=True):
        cache = SequenceCache(config, dtype=torch.float32, device=CPU)
        prompt = Segment(cache=cache, token_ids=torch.tensor(example.context), start=0, causal=True)
        canvas = Segment(
            cache=cache,
            token_ids=torch.tensor(example.canvas),
            start=len(example.context),
            causal=False,
        )
        served = run_segments(network, [prompt, canvas])[1]
        torch.testing.assert_close(trained, served, rtol=0, atol=2e-4)


def test_long_answers_are_trained_on_every_canvas(config: ModelConfig) -> None:
    mixture = Mixture(
        tasks=(TASKS["table"],),
        weights=(1.0,),
        canvas_length=config.canvas_length,
        filling_weight=1.0,
    )
    examples = make_examples(tokenizer.build(), mixture, count=60, random=Random(0))
    lengths = {len(example.context) // config.canvas_length for example in examples}

    assert len(lengths) > 2
    assert all(len(example.canvas) == config.canvas_length for example in examples)


def test_the_loss_falls_on_examples_seen_again(
    config: ModelConfig, network: DiffusionGemma
) -> None:
    examples = _examples(config, 8)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(12):
        loss = loss_of(network, examples, torch.Generator().manual_seed(1), filling_weight=1.0)
        losses.append(loss.total.item())
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()

    assert losses[-1] < 0.7 * losses[0]


def test_a_resumed_run_ends_where_an_unbroken_one_does(config: ModelConfig, tmp_path: Path) -> None:
    unbroken = Trainer(config, RECIPE, rank=0, processes=1)
    unbroken.run(tmp_path / "a", _quiet, save_every=2)
    assert not torch.equal(
        unbroken.model.norm.weight, Trainer(config, RECIPE, rank=0, processes=1).model.norm.weight
    )

    broken = Trainer(config, RECIPE, rank=0, processes=1)
    with pytest.raises(InterruptedError):
        broken.run(tmp_path / "b", _break_after_three, save_every=2)
    resumed = Trainer(config, RECIPE, rank=0, processes=1)
    resumed.run(tmp_path / "b", _quiet, save_every=2)

    for name, tensor in unbroken.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name


def test_a_state_of_another_recipe_is_refused(config: ModelConfig, tmp_path: Path) -> None:
    Trainer(config, RECIPE, rank=0, processes=1).run(tmp_path, _quiet, save_every=4)
    other = Recipe(steps=4, seed=6)

    with pytest.raises(ValueError, match="belongs to another recipe"):
        Trainer(config, other, rank=0, processes=1).run(tmp_path, _quiet, save_every=4)


def test_an_exported_checkpoint_loads_with_the_trained_weights(
    calm_folder: Path, config: ModelConfig, network: DiffusionGemma, tmp_path: Path
) -> None:
    export(network.state_dict(), calm_folder / "config.json", tmp_path)
    loaded = load_model(tmp_path, config, dtype=torch.bfloat16, device=CPU)

    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor.to(torch.bfloat16), loaded.state_dict()[name]), name
    assert json.loads((tmp_path / "generation_config.json").read_text())["eos_token_id"] == [
        1,
        106,
        50,
    ]


def _quiet(step: int, figures: dict[str, float]) -> None:
    """Nobody watches."""


def _break_after_three(step: int, figures: dict[str, float]) -> None:
    if step == 3:
        raise InterruptedError
