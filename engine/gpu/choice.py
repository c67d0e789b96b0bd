"""Whether passes run with the fused kernels."""

from __future__ import annotations

import importlib.util
import os

import torch

from palimpsest.engine.errors import CheckpointError

LEAST_CAPABILITY = (8, 9)
"""Of CUDA devices: the oldest that the kernels are compiled for in the tests."""


def uses_fused(kernels: str, *, device: torch.device, dtype: torch.dtype) -> bool:
    """What `--kernels` asks for. Raises CheckpointError where that cannot be."""
    if kernels == "fused" and (missing := _missing(device, dtype)):
        raise CheckpointError(f"--kernels fused: needs {missing}; --kernels plain runs anywhere")
    return kernels == "fused"


def _missing(device: torch.device, dtype: torch.dtype) -> str | None:
    """What the kernels need and is not here."""
    if importlib.util.find_spec("triton") is None:
        return "triton, which is not installed (pip install 'palimpsest[gpu]')"
    if os.environ.get("TRITON_INTERPRET") == "1":
        return None
    least = ".".join(map(str, LEAST_CAPABILITY))
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < LEAST_CAPABILITY:
        return f"a CUDA device of compute capability {least} or newer"
    return None if dtype == torch.bfloat16 else "--dtype bfloat16"
