"""From options to a model ready to run: where, in which dtype, and whether it fits at all."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from palimpsest.engine.cache import bytes_per_token
from palimpsest.engine.checkpoint import (
    checkpoint_folder,
    end_tokens,
    read_config,
    read_defaults,
    served_name,
)
from palimpsest.engine.config import ModelConfig
from palimpsest.engine.engine import LoadedModel
from palimpsest.engine.errors import CheckpointError, DoesNotFit
from palimpsest.engine.messages import ModelInfo
from palimpsest.engine.options import EngineOptions
from palimpsest.engine.sequence import Limits
from palimpsest.engine.weights import Progress, load_model, weight_files

_GIB = 2**30
_SAMPLER_COPIES = 6
"""fp32 tensors of [canvas, vocabulary] alive at once in a denoising step."""


def load(options: EngineOptions, progress: Progress) -> tuple[LoadedModel, ModelInfo]:
    """Loads what `options` name. Raises CheckpointError, or DoesNotFit with the way out."""
    folder = checkpoint_folder(options.model)
    config = read_config(folder)
    defaults = read_defaults(folder)
    device = _device(options.device)
    dtype = _dtype(options.dtype, device)
    context = _context(options, config)
    _check_memory(folder, config, dtype, device, context, options.gpu_memory_utilization)
    network = load_model(folder, config, dtype=dtype, device=device, progress=progress)
    ends = end_tokens(folder, config)
    limits = Limits(
        canvas_length=config.canvas_length,
        max_context_tokens=context,
        end_token_ids=frozenset(ends),
    )
    info = ModelInfo(
        name=served_name(options.model, options.served_model_name),
        canvas_length=config.canvas_length,
        max_context_tokens=context,
        vocabulary_size=config.vocabulary_size,
        end_token_ids=ends,
        parameter_count=sum(parameter.numel() for parameter in network.parameters()),
        device=str(device),
        dtype=str(dtype).removeprefix("torch."),
        defaults=defaults,
    )
    return LoadedModel(network=network, limits=limits, device=device), info


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise CheckpointError(f"--device {name}: no CUDA device here; use --device cpu")
    return device


def _dtype(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        # a CPU gains nothing from bf16 at the sizes it can serve, and fp32 is exact against the
        # reference
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return getattr(torch, name)


def _context(options: EngineOptions, config: ModelConfig) -> int:
    """Tokens of prompt and answer together: the checkpoint's, or less if so asked."""
    context = options.max_model_len or config.max_context_tokens
    if context > config.max_context_tokens:
        raise DoesNotFit(
            f"--max-model-len {context}: the checkpoint was made for "
            f"{config.max_context_tokens} tokens"
        )
    if context < 2 * config.canvas_length:
        raise DoesNotFit(
            f"--max-model-len {context}: a prompt and one canvas of {config.canvas_length} tokens "
            f"need at least {2 * config.canvas_length}"
        )
    return context


def _check_memory(
    folder: Path,
    config: ModelConfig,
    dtype: torch.dtype,
    device: torch.device,
    context: int,
    share: float,
) -> None:
    """Weights, sampler and one sequence of full length must fit into the share of the memory."""
    budget = int(_memory(device) * share)
    # files hold BF16; other dtypes are cast while loading
    weights = sum(path.stat().st_size for path in weight_files(folder)) * dtype.itemsize // 2
    sampler = _SAMPLER_COPIES * 4 * config.canvas_length * config.vocabulary_size
    per_token = bytes_per_token(config, dtype)
    if weights + sampler + context * per_token <= budget:
        return
    room = (budget - weights - sampler) // per_token
    need = f"weights {weights / _GIB:.2f} GiB, sampler {sampler / _GIB:.2f} GiB, "
    need += f"cache {context * per_token / _GIB:.2f} GiB for {context} tokens"
    have = f"{budget / _GIB:.2f} GiB are allowed on {device} (--gpu-memory-utilization {share})"
    if room >= 2 * config.canvas_length:
        raise DoesNotFit(f"{need}, but {have}; --max-model-len {room} would fit")
    raise DoesNotFit(f"{need}, but {have}; the weights alone leave no room, use a larger device")


def _memory(device: torch.device) -> int:
    """Bytes of memory that the device has, or that the machine has for the CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
