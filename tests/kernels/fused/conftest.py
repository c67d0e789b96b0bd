from __future__ import annotations

from collections.abc import Iterator

import interpreted as interpreted
import pytest
import torch


@pytest.fixture(autouse=True)
def unwritten_memory_is_nan() -> Iterator[None]:
    """So that what a kernel forgets to write is seen."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)
