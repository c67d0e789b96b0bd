"""Batches, objective and loop: training runs the serving network and can be broken off."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import torch
from torch import Tensor

from palimpsest.engine import training
from palimpsest.engine.cache import SequenceCache
from palimpsest.engine.config import ModelConfig, read_config
from palimpsest.engine.model import DiffusionGemma
from palimpsest.engine.segments import PictureSegment, Segment, run_segments
from palimpsest.engine.training.batches import (
    COPIES,
    Example,
    ExampleSource,
    alike,
    collate,
    rows_of,
)
from palimpsest.engine.training.export import export
from palimpsest.engine.training.grow import grown
from palimpsest.engine.training.log import RunLog
from palimpsest.engine.training.loop import Trainer, initialise
from palimpsest.engine.training.objective import look, loss_of, predict
from palimpsest.engine.training.plot import plot
from palimpsest.engine.training.probe import Probe
from palimpsest.engine.training.recipe import BUNDLED, SMOKE
from palimpsest.engine.training.skills import SEEING, SKILLS
from palimpsest.engine.training.states import NoisyCanvases, corrupt, denoise_once
from palimpsest.engine.vision.encoder_cache import EncoderCache
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


@pytest.fixture(scope="module")
def config(calm_folder: Path) -> ModelConfig:
    return read_config(calm_folder)


@pytest.fixture
def network(config: ModelConfig) -> DiffusionGemma:
    torch.manual_seed(0)
    network = DiffusionGemma(config)
    initialise(network)
    return network


@pytest.fixture
def seeing() -> DiffusionGemma:
    """The network that the bundled recipe begins with: its pictures are of its own size."""
    torch.manual_seed(0)
    network = DiffusionGemma(read_config(Path(training.__file__).parent))
    initialise(network)
    return network


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


@torch.no_grad()
def test_a_checkpoint_with_fewer_layers_is_grown_to_the_same_function(
    config: ModelConfig, network: DiffusionGemma
) -> None:
    sliding, *_, full = config.layers
    kinds = (*config.layers[:2], full, *config.layers[2:], sliding, full)
    deeper = replace(config, layers=tuple(replace(k, index=i) for i, k in enumerate(kinds)))
    large = DiffusionGemma(deeper)
    initialise(large)
    for layer in network.layers:
        layer.get_buffer("layer_scalar").fill_(0.7)
    large.load_state_dict(grown(network, large))
    (example,) = _examples(config, ["add"])

    assert len(large.layers) == len(network.layers) + 3
    for small, same in zip(_served(network, example), _served(large, example), strict=True):
        torch.testing.assert_close(same, small, rtol=0, atol=1e-5)


def test_a_layer_without_a_place_in_the_larger_network_is_refused(
    config: ModelConfig, network: DiffusionGemma
) -> None:
    shallow = DiffusionGemma(replace(config, layers=config.layers[1:]))
    with pytest.raises(ValueError, match="layer 2 of the smaller network finds no place"):
        grown(network, shallow)


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
