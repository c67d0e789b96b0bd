"""The two checkpoints that the engine is compared on, each beside the reference."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from calm import save_calm, save_calm_sharded
from pairs import Pair, load_pair

from palimpsest.engine.checkpoint import checkpoint_folder


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """More threads only wait for each other on networks of this size."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def calm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calm")
    save_calm(folder)
    return folder


@pytest.fixture(scope="session")
def sharded_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The calm checkpoint in BF16, in several files."""
    folder = tmp_path_factory.mktemp("sharded")
    save_calm_sharded(folder)
    return folder


@pytest.fixture(scope="session")
def bundled_folder() -> Path:
    return checkpoint_folder("bundled")


@pytest.fixture(scope="session")
def calm(calm_folder: Path) -> Pair:
    return load_pair(calm_folder)


@pytest.fixture(scope="session")
def bundled(bundled_folder: Path) -> Pair:
    return load_pair(bundled_folder)


@pytest.fixture(scope="session", params=["calm", "bundled"])
def pair(request: pytest.FixtureRequest) -> Pair:
    """Each of the two checkpoints in turn."""
    return request.getfixturevalue(request.param)
