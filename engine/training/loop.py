"""The training loop: seeded, resumable, and shared by as many single-threaded processes as there
are cores.

Each process draws its own share of every step's examples and gradients are averaged, which on a
CPU is faster than one process with many threads. All randomness is a function of (seed, step,
process), so a resumed run ends where an unbroken one does.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Protocol, runtime_checkable

import torch
import torch.distributed as distributed
from torch import nn

from palimpsest.engine.config import ModelConfig, read_config
from palimpsest.engine.model import DiffusionGemma
from palimpsest.engine.training.batches import Example, ExampleSource, alike, rows_of
from palimpsest.engine.training.objective import Loss, loss_of
from palimpsest.engine.training.probe import Probe
from palimpsest.engine.training.recipe import Recipe
from palimpsest.engine.weights import load_model

MEASURED_SHARE = 0.5
"""What a measurement counts against those before it."""


@runtime_checkable
class Watcher(Protocol):
    """Whoever follows a run."""

    def trained(self, step: int, figures: dict[str, float]) -> None:
        """A step is done."""

    def probed(self, step: int, accuracies: dict[str, float]) -> None:
        """The held-out accuracy of each skill was measured after a step."""


class Trainer:
    """Model and optimizer of one process."""

    def __init__(
        self,
        config: ModelConfig,
        recipe: Recipe,
        *,
        device: torch.device,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.config, self.recipe, self.device = config, recipe, device
        self.rank, self.processes = rank, processes
        self.source = ExampleSource()
        self.model = DiffusionGemma(config)
        initialise(self.model)
        self.model.to(device)
        self.probe = Probe(self.model, device, self.source)
        self.optimizer = _optimizer(self.model, recipe)
        self.accuracies = dict.fromkeys(recipe.skills, 0.0)
        """Of each skill, over the last measurements."""
        self.measured = True
        """Whether what it knows is known; a fresh network knows nothing."""
        self.step = 0

    def start_from(self, folder: Path) -> None:
        """Begins with the weights of a checkpoint; a vision tower that it lacks stays random.

        Raises CheckpointError if it cannot be read, RuntimeError if it is of another shape.
        """
        config = read_config(folder)
        known = load_model(folder, config, dtype=torch.float32, device=self.device)
        ours = self.model.state_dict().items()
        tower = {name: tensor for name, tensor in ours if name.startswith("vision.")}
        self.model.load_state_dict(tower | known.state_dict())
        self.measured = False

    def run(self, folder: Path, watcher: Watcher, *, save_every: int) -> None:
        """Trains to the recipe's last step, saving to and resuming from `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        state = folder / "state.pt"
        if state.exists():
            self._load(state)
        elif not self.measured:
            watcher.probed(0, self._probe())
        while self.step < self.recipe.steps:
            watcher.trained(self.step + 1, self._train_step())
            self.step += 1
            last = self.step == self.recipe.steps
            if self.step % self.recipe.probe_every == 0 or last:
                watcher.probed(self.step, self._probe())
            if self.rank == 0 and (self.step % save_every == 0 or last):
                self._save(state)

    def _train_step(self) -> dict[str, float]:
        rate = _rate(self.recipe, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"]
        self.optimizer.zero_grad(set_to_none=True)
        examples = self.share()
        noise = Random(f"{self.recipe.seed} {self.step} {self.rank}")
        generator = torch.Generator(self.device).manual_seed(noise.getrandbits(62))
        losses = [self._learn(group, len(examples), generator) for group in alike(examples)]
        self._average_gradients()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), 1.0).item()
        self.optimizer.step()
        return {
            "loss": _mean(losses, lambda loss: loss.total.item()),
            "answer": _mean(losses, lambda loss: loss.answer_cross_entropy),
            "exact": _mean(losses, lambda loss: loss.exact_share),
            "gradient_norm": norm,
            "learning_rate": rate,
            "tokens": sum(loss.tokens for loss in losses) * self.processes,
        }

    def _drawn(self) -> list[Example]:
        """The examples of a step."""
        recipe, full = self.recipe, self.config.canvas_length
        random = Random(f"{recipe.seed} {self.step}")
        short = recipe.narrow_canvas if random.random() < recipe.narrow_share else full
        wanted = self.wanted()
        return [
            self.source.draw(skill, random, canvas_length=full, filling_weight=1.0)
            if skill in recipe.spanning
            else self.source.draw(skill, random, canvas_length=short, filling_weight=0.2)
            for skill in random.choices(list(wanted), list(wanted.values()), k=recipe.examples)
        ]

    def share(self) -> list[Example]:
        """What this process learns from in a step: as much work as any other has, since they wait
        for each other. Examples are dealt by size, in each second round the other way about.
        """
        examples = self._drawn()
        by_size = sorted(range(len(examples)), key=lambda i: rows_of(examples[i]))
        rounds = [by_size[i : i + self.processes] for i in range(0, len(by_size), self.processes)]
        dealt = [cards[:: -1 if i % 2 else 1] for i, cards in enumerate(rounds)]
        mine = [cards[self.rank] for cards in dealt if self.rank < len(cards)]
        return [examples[i] for i in sorted(mine)]

    def wanted(self) -> dict[str, float]:
        """Weights of the skills there are by now, more of what is still answered wrong."""
        kept, joins = self.recipe.known_share, self.recipe.joins
        return {
            skill: weight * (kept + 1 - self.accuracies[skill])
            for skill, weight in self.recipe.skills.items()
            if self.step >= joins.get(skill, 0)
        }

    def _learn(self, group: list[Example], count: int, generator: torch.Generator) -> Loss:
        """Adds the group's part of the gradient of the mean over `count` examples."""
        with torch.autocast(self.device.type, torch.bfloat16):
            loss = loss_of(self.model, group, generator)
        (loss.total * (len(group) / count)).backward()
        return loss

    def _average_gradients(self) -> None:
        if self.processes == 1:
            return
        parameters = list(self.model.parameters())
        for parameter in parameters:
            # as of the tower in a process that drew no picture
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        flat = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
        distributed.all_reduce(flat)
        flat /= self.processes
        parts = flat.split([parameter.numel() for parameter in parameters])
        for parameter, part in zip(parameters, parts, strict=True):
            parameter.grad = part.view_as(parameter)

    def _probe(self) -> dict[str, float]:
        """Measures the skills there are by now, which the mixture then follows."""
        measured, share = self._accuracies(), MEASURED_SHARE if self.measured else 1.0
        for skill, accuracy in measured.items():
            self.accuracies[skill] += share * (accuracy - self.accuracies[skill])
        self.measured = True
        return measured

    def _accuracies(self) -> dict[str, float]:
        """Each process measures its share of the skills."""
        skills = list(self.wanted())
        mine = skills[self.rank :: self.processes]
        count = self.recipe.probe_items
        # what is compiled for training would be compiled again for every shape of the engine's
        with torch.compiler.set_stance("force_eager"):
            measured = {skill: self.probe.accuracy(skill, count=count) for skill in mine}
        if self.processes == 1:
            return measured
        shares: list[dict[str, float]] = [{} for _ in range(self.processes)]
        distributed.all_gather_object(shares, measured)
        merged = {skill: value for share in shares for skill, value in share.items()}
        return {skill: merged[skill] for skill in skills}

    def _save(self, path: Path) -> None:
        partial = path.with_suffix(".partial")
        state = {
            "step": self.step,
            "recipe": asdict(self.recipe),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "accuracies": self.accuracies,
        }
        torch.save(state, partial)
        partial.rename(path)

    def _load(self, path: Path) -> None:
        state = torch.load(path, weights_only=True, map_location=self.device)
        if state["recipe"] != asdict(self.recipe):
            raise ValueError(f"{path} belongs to another recipe: {json.dumps(state['recipe'])}")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.accuracies = state["accuracies"]
        self.step = state["step"]


@torch.no_grad()
def initialise(model: DiffusionGemma) -> None:
    """Random weights a network with attention scale 1.0 can start from."""
    for name, parameter in model.named_parameters():
        if parameter.ndim >= 2:
            parameter.normal_(0.0, parameter.shape[-1] ** -0.5)
        elif name.startswith("vision.") and name.endswith(("q_norm.weight", "k_norm.weight")):
            # sharp from the start: shapes are edges side by side, and an even look finds none
            parameter.fill_(1.0)
        elif name.endswith(("q_norm.weight", "k_norm.weight")):
            # q · k of unit-variance heads is then of order √D / √D, as if scaled
            parameter.fill_(parameter.shape[0] ** -0.25)
        elif name.endswith(
            ("post_attention_layernorm.weight", "post_feedforward_layernorm.weight")
        ):
            parameter.fill_(0.5)


def _optimizer(model: DiffusionGemma, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW; only matrices decay, and the vision tower has a rate of its own."""
    groups = []
    for seeing, share in ((False, 1.0), (True, recipe.vision_rate)):
        own = [p for name, p in model.named_parameters() if name.startswith("vision.") is seeing]
        for matrices, decay in ((True, recipe.weight_decay), (False, 0.0)):
            parameters = [p for p in own if (p.ndim >= 2) is matrices]
            groups.append({"params": parameters, "weight_decay": decay, "share": share})
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)


def _mean(losses: Iterable[Loss], figure: Callable[[Loss], float]) -> float:
    """Over their examples. What is not a number, as of no canvas, does not count."""
    known = [(figure(loss), loss.examples) for loss in losses if not math.isnan(figure(loss))]
    total = sum(count for _, count in known)
    return sum(value * count for value, count in known) / total if total else math.nan


def _rate(recipe: Recipe, step: int) -> float:
    """Linear warm-up, then a cosine to the final share."""
    warm = min(1.0, (step + 1) / recipe.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * step / recipe.steps))
    return recipe.learning_rate * warm * (recipe.final_share + (1 - recipe.final_share) * cosine)


def join(rank: int, processes: int, port: int) -> None:
    """Makes this process one of `processes` on this machine that average gradients."""
    torch.set_num_threads(1)
    if processes > 1:
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
        distributed.init_process_group("gloo", rank=rank, world_size=processes)
