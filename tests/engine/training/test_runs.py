"""Runs: what they train on, how they go on after a break, and what they leave behind."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from blind import blinded

from palimpsest.engine.config import ModelConfig, read_config
from palimpsest.engine.model import DiffusionGemma
from palimpsest.engine.training.batches import (
    ExampleSource,
    rows_of,
)
from palimpsest.engine.training.export import export
from palimpsest.engine.training.log import RunLog
from palimpsest.engine.training.loop import Trainer, initialise
from palimpsest.engine.training.plot import plot
from palimpsest.engine.training.probe import Probe
from palimpsest.engine.training.recipe import BUNDLED, SMOKE
from palimpsest.engine.training.skills import SKILLS
from palimpsest.engine.weights import load_model

CPU = torch.device("cpu")
RECIPE = replace(
    SMOKE,
    steps=4,
    seed=5,
    skills={"reverse": 1.0, "tool_call": 1.0},
    spanning=("tool_call",),
    probe_every=100,
)


def test_what_is_answered_wrong_is_trained_more(config: ModelConfig) -> None:
    recipe = replace(RECIPE, skills={"reverse": 1.0, "sort": 1.0})
    trainer = Trainer(config, recipe, device=CPU)
    trainer.accuracies |= {"reverse": 1.0, "sort": 0.25}
    wanted = trainer.wanted()
    assert wanted["sort"] == pytest.approx(6 * wanted["reverse"])


def test_a_skill_joins_at_its_step(config: ModelConfig) -> None:
    trainer = Trainer(config, replace(RECIPE, joins={"tool_call": 3}), device=CPU)
    trainer.step = 2
    assert set(trainer.wanted()) == {"reverse"}
    trainer.step = 3
    assert set(trainer.wanted()) == {"reverse", "tool_call"}


def test_a_resumed_run_ends_where_an_unbroken_one_does(config: ModelConfig, tmp_path: Path) -> None:
    unbroken = Trainer(config, RECIPE, device=CPU)
    unbroken.run(tmp_path / "a", _Quiet(), save_every=2)
    fresh = Trainer(config, RECIPE, device=CPU)
    assert not torch.equal(unbroken.model.norm.weight, fresh.model.norm.weight)

    broken = Trainer(config, RECIPE, device=CPU)
    with pytest.raises(InterruptedError):
        broken.run(tmp_path / "b", _BreaksAfterThree(), save_every=2)
    resumed = Trainer(config, RECIPE, device=CPU)
    resumed.run(tmp_path / "b", _Quiet(), save_every=2)

    for name, tensor in unbroken.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name


def test_processes_share_a_steps_examples_and_have_about_as_much_work(config: ModelConfig) -> None:
    recipe = replace(RECIPE, examples=24)
    trainers = [Trainer(config, recipe, device=CPU, rank=rank, processes=2) for rank in (0, 1)]
    one, other = (trainer.share() for trainer in trainers)
    alone = Trainer(config, recipe, device=CPU).share()
    work, same = (sum(map(rows_of, share)) for share in (one, other))

    assert sorted(map(rows_of, one + other)) == sorted(map(rows_of, alone))
    assert len(one) == len(other) == 12
    assert 0.9 < work / same < 1.1


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_the_command_trains_on_processes_of_which_only_some_see_a_picture(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "palimpsest.engine.training", "--recipe", "smoke"]
    subprocess.run([*command, "--out", tmp_path, "--processes", "2"], check=True)

    assert (tmp_path / "checkpoint/model.safetensors").stat().st_size < 16e6
    assert (tmp_path / "training.png").read_bytes().startswith(b"\x89PNG")


def test_a_state_of_another_recipe_is_refused(config: ModelConfig, tmp_path: Path) -> None:
    Trainer(config, RECIPE, device=CPU).run(tmp_path, _Quiet(), save_every=4)
    other = Trainer(config, replace(RECIPE, seed=6), device=CPU)

    with pytest.raises(ValueError, match="belongs to another recipe"):
        other.run(tmp_path, _Quiet(), save_every=4)


def test_a_run_can_begin_with_the_weights_of_a_checkpoint(
    config: ModelConfig, calm_folder: Path
) -> None:
    trainer = Trainer(config, RECIPE, device=CPU)
    trainer.start_from(calm_folder)
    loaded = load_model(calm_folder, config, dtype=torch.float32, device=CPU)

    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, trainer.model.state_dict()[name]), name


def test_a_checkpoint_that_lacks_a_layer_is_refused(config: ModelConfig, calm_folder: Path) -> None:
    another = replace(config.layers[-1], index=len(config.layers))
    trainer = Trainer(replace(config, layers=(*config.layers, another)), RECIPE, device=CPU)

    with pytest.raises(RuntimeError, match=f"Missing key.*layers.{another.index}"):
        trainer.start_from(calm_folder)


def test_a_tower_that_a_checkpoint_lacks_stays_as_it_began(
    config: ModelConfig, calm_folder: Path, tmp_path: Path
) -> None:
    trainer = Trainer(config, RECIPE, device=CPU)
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    trainer.start_from(blinded(calm_folder, tmp_path))
    after = trainer.model.state_dict()

    same = {name for name, tensor in before.items() if torch.equal(tensor, after[name])}
    assert {name for name in before if name.startswith("vision.")} <= same
    assert "embed_tokens.weight" not in same


def test_a_run_leaves_losses_accuracies_and_a_picture_of_them(
    config: ModelConfig, tmp_path: Path
) -> None:
    recipe = replace(RECIPE, steps=20, probe_every=10, examples=4)
    with RunLog(tmp_path / "log.jsonl", steps=20, rank=0) as log:
        Trainer(config, recipe, device=CPU).run(tmp_path, log, save_every=20)
    plot(tmp_path / "log.jsonl", tmp_path / "run.png")

    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    probes = {line["step"]: line["accuracy"] for line in lines if "accuracy" in line}
    assert list(probes) == [10, 20]
    assert set(probes[20]) == {"reverse", "tool_call"}
    assert [line["step"] for line in lines if "loss" in line] == [20]
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")


def test_the_log_of_a_resumed_run_counts_the_seconds_of_all_its_parts(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps({"seconds": 100.0, "step": 500, "accuracy": {}}) + "\n")
    with RunLog(path, steps=1000, rank=0) as log:
        log.probed(1000, {"reverse": 1.0})

    assert json.loads(path.read_text().splitlines()[-1])["seconds"] >= 100


def test_the_recipe_of_the_bundled_model_trains_every_skill() -> None:
    assert set(BUNDLED.skills) == set(SKILLS)
    assert set(BUNDLED.spanning) | set(BUNDLED.joins) <= set(SKILLS)


def test_a_probe_counts_what_the_engine_writes(bundled_folder: Path) -> None:
    config = read_config(bundled_folder)
    trained = load_model(bundled_folder, config, dtype=torch.float32, device=CPU)
    torch.manual_seed(0)
    untrained = DiffusionGemma(config)
    initialise(untrained)

    assert Probe(trained, CPU, ExampleSource()).accuracy("reverse", count=10) >= 0.9
    assert Probe(untrained.eval(), CPU, ExampleSource()).accuracy("reverse", count=2) == 0.0


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


class _Quiet:
    """Nobody watches."""

    def trained(self, step: int, figures: dict[str, float]) -> None:
        pass

    def probed(self, step: int, accuracies: dict[str, float]) -> None:
        pass


class _BreaksAfterThree(_Quiet):
    def trained(self, step: int, figures: dict[str, float]) -> None:
        if step == 3:
            raise InterruptedError
