"""Where the fused kernels can run, and what is said where they cannot."""

from __future__ import annotations

import re

import pytest
import torch

from palimpsest.engine.errors import CheckpointError
from palimpsest.engine.gpu.choice import uses_fused

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(autouse=True)
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """As serving runs: not in the interpreter."""
    monkeypatch.delenv("TRITON_INTERPRET")


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A CUDA device of some compute capability."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: request.param)


@pytest.mark.parametrize("card", [(8, 9), (9, 0)], indirect=True)
@pytest.mark.usefixtures("card")
def test_they_run_where_they_are_asked_for() -> None:
    assert uses_fused("fused", device=CUDA, dtype=torch.bfloat16)
    assert not uses_fused("plain", device=CUDA, dtype=torch.bfloat16)


@pytest.mark.parametrize(
    ("card", "device", "dtype", "missing"),
    [
        ((9, 0), CPU, torch.bfloat16, "a CUDA device of compute capability 8.9 or newer"),
        ((8, 0), CUDA, torch.bfloat16, "a CUDA device of compute capability 8.9 or newer"),
        ((9, 0), CUDA, torch.float32, "--dtype bfloat16"),
    ],
    indirect=["card"],
)
@pytest.mark.usefixtures("card")
def test_what_they_lack_is_named(device: torch.device, dtype: torch.dtype, missing: str) -> None:
    with pytest.raises(CheckpointError, match=re.escape(f"--kernels fused: needs {missing};")):
        uses_fused("fused", device=device, dtype=dtype)
