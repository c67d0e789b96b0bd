"""Compares a compiled layer's loss and gradients with the plain one's; fails if they differ."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from random import Random

import torch
from torch import Tensor

from palimpsest.engine.config import read_config
from palimpsest.engine.model import DiffusionGemma
from palimpsest.engine.training.batches import Example, ExampleSource
from palimpsest.engine.training.compiled import compile_layers
from palimpsest.engine.training.loop import initialise
from palimpsest.engine.training.objective import loss_of


def main() -> None:
    config = read_config(Path(sys.argv[1]))
    network = DiffusionGemma(replace(config, layers=config.layers[-1:]))
    torch.manual_seed(0)
    initialise(network)
    random, source = Random(2), ExampleSource()
    length = config.canvas_length
    examples = [
        source.draw("add", random, canvas_length=length, filling_weight=1.0) for _ in range(2)
    ]
    plain = _gradients(network, examples)
    compile_layers(network)
    for compiled, gradient in zip(_gradients(network, examples), plain, strict=True):
        torch.testing.assert_close(compiled, gradient, rtol=1e-3, atol=1e-5)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0, "nothing was compiled"


def _gradients(network: DiffusionGemma, examples: list[Example]) -> list[Tensor]:
    """The loss and the gradient of each parameter."""
    network.zero_grad()
    loss = loss_of(network, examples, torch.Generator().manual_seed(1)).total
    loss.backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    return [loss.detach(), *(gradient.clone() for gradient in gradients)]


if __name__ == "__main__":
    main()
