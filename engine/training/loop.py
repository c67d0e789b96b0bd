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
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

import torch
import torch.distributed as distributed
from torch import nn

from palimpsest.engine.config import ModelConfig
from palimpsest.engine.model import DiffusionGemma
from palimpsest.engine.training import tokenizer
from palimpsest.engine.training.batches import Mixture, make_examples
from palimpsest.engine.training.objective import Loss, loss_of
from palimpsest.engine.training.tasks import LONG_TASKS, SHORT_TASKS


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that decides what comes out."""

    steps: int
    seed: int
    short_examples: int = 48
    """Examples with answers of one canvas, a step, over all processes."""
    long_examples: int = 20
    learning_rate: float = 2e-3
    final_share: float = 0.02
    """Of the learning rate, left at the last step of the cosine."""
    warmup_steps: int = 100
    weight_decay: float = 0.02
    narrow_canvas: int = 16
    """Canvas of most short examples: the same skill for a third of the work."""
    narrow_share: float = 0.8


SHORT_WEIGHTS = {"reverse": 1.0, "sort": 1.0, "add": 2.5, "count": 1.0}

Report = Callable[[int, dict[str, float]], None]


class Trainer:
    """Model and optimizer of one process."""

    def __init__(self, config: ModelConfig, recipe: Recipe, *, rank: int, processes: int) -> None:
        torch.manual_seed(recipe.seed)
        self.config, self.recipe, self.rank, self.processes = config, recipe, rank, processes
        self.tokenizer = tokenizer.build()
        self.model = DiffusionGemma(config)
        initialise(self.model)
        matrices = [p for p in self.model.parameters() if p.ndim >= 2]
        vectors = [p for p in self.model.parameters() if p.ndim < 2]
        groups = [
            {"params": matrices, "weight_decay": recipe.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)
        self.step = 0

    def run(self, folder: Path, report: Report, *, save_every: int) -> None:
        """Trains to the recipe's last step, saving to and resuming from `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        state = folder / "state.pt"
        if state.exists():
            self._load(state)
        while self.step < self.recipe.steps:
            figures = self._train_step()
            self.step += 1
            if self.rank == 0:
                report(self.step, figures)
            if self.rank == 0 and (self.step % save_every == 0 or self.step == self.recipe.steps):
                self._save(state)

    def _train_step(self) -> dict[str, float]:
        rate = _rate(self.recipe, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        random = Random(f"{self.recipe.seed} {self.step} {self.rank}")
        generator = torch.Generator().manual_seed(random.getrandbits(62))
        short = self._learn(self._short_mixture(), self.recipe.short_examples, random, generator)
        long = self._learn(self._long_mixture(), self.recipe.long_examples, random, generator)
        self._average_gradients()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), 1.0).item()
        self.optimizer.step()
        return {
            "loss": short.total.item() + long.total.item(),
            "short": short.answer_cross_entropy,
            "long": long.answer_cross_entropy,
            "exact": short.exact_share,
            "gradient_norm": norm,
            "learning_rate": rate,
        }

    def _learn(
        self, mixture: Mixture, count: int, random: Random, generator: torch.Generator
    ) -> Loss:
        count //= self.processes
        examples = make_examples(self.tokenizer, mixture, count=count, random=random)
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(self.model, examples, generator, filling_weight=mixture.filling_weight)
        loss.total.backward()
        return loss

    def _short_mixture(self) -> Mixture:
        narrow = Random(f"width {self.recipe.seed} {self.step}").random() < self.recipe.narrow_share
        return Mixture(
            tasks=tuple(SHORT_TASKS.values()),
            weights=tuple(SHORT_WEIGHTS[name] for name in SHORT_TASKS),
            canvas_length=self.recipe.narrow_canvas if narrow else self.config.canvas_length,
            filling_weight=0.2,
        )

    def _long_mixture(self) -> Mixture:
        tasks = tuple(LONG_TASKS.values())
        return Mixture(
            tasks=tasks,
            weights=(1.0,) * len(tasks),
            canvas_length=self.config.canvas_length,
            filling_weight=1.0,
        )

    def _average_gradients(self) -> None:
        if self.processes == 1:
            return
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        flat /= self.processes
        parts = flat.split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def _save(self, path: Path) -> None:
        partial = path.with_suffix(".partial")
        state = {
            "step": self.step,
            "recipe": asdict(self.recipe),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        torch.save(state, partial)
        partial.rename(path)

    def _load(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        if state["recipe"] != asdict(self.recipe):
            raise ValueError(f"{path} belongs to another recipe: {json.dumps(state['recipe'])}")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]


@torch.no_grad()
def initialise(model: DiffusionGemma) -> None:
    """Random weights a network with attention scale 1.0 can start from."""
    for name, parameter in model.named_parameters():
        if parameter.ndim >= 2:
            parameter.normal_(0.0, parameter.shape[-1] ** -0.5)
        elif name.endswith(("q_norm.weight", "k_norm.weight")):
            # q · k of unit-variance heads is then of order √D / √D, as if scaled
            parameter.fill_(parameter.shape[0] ** -0.25)
        elif name.endswith(
            ("post_attention_layernorm.weight", "post_feedforward_layernorm.weight")
        ):
            parameter.fill_(0.5)


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
