"""Networks to train, untrained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from palimpsest.engine import training
from palimpsest.engine.config import ModelConfig, read_config
from palimpsest.engine.model import DiffusionGemma
from palimpsest.engine.training.loop import initialise


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
