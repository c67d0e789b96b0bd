"""From options to a model ready to run: where, in which dtype, and whether it fits at all."""

from __future__ import annotations

import torch

from palimpsest.engine.checkpoint import (
    checkpoint_folder,
    end_tokens,
    read_config,
    read_defaults,
    served_name,
)
from palimpsest.engine.config import ModelConfig
from palimpsest.engine.errors import CheckpointError, DoesNotFit
from palimpsest.engine.events import ModelInfo
from palimpsest.engine.gpu.choice import uses_fused
from palimpsest.engine.loaded_model import LoadedModel
from palimpsest.engine.memory import capacity_of, head_bytes, weight_bytes
from palimpsest.engine.options import EngineOptions
from palimpsest.engine.quantised.reading import Progress, Target
from palimpsest.engine.sequence import Limits
from palimpsest.engine.structure.vocabulary import Vocabulary
from palimpsest.engine.weights import contents_of, network_of, read_weights


def load(options: EngineOptions, progress: Progress) -> tuple[LoadedModel, ModelInfo]:
    """Loads what `options` name. Raises CheckpointError, or DoesNotFit with the way out."""
    folder = checkpoint_folder(options.model)
    contents = contents_of(folder, read_config(folder))
    config = contents.config
    defaults = read_defaults(folder)
    device = _device(options.device)
    dtype = _dtype(options.dtype, device)
    context = _context(options, config)
    fused = uses_fused(options.kernels, device=device, dtype=dtype)
    # plain torch has no products of eight-bit numbers that are worth having: it gets them expanded
    target = Target(dtype=dtype, device=device, keep_codes=fused)
    capacity = capacity_of(
        config,
        options,
        weights=weight_bytes(contents, dtype, keep_codes=target.keep_codes)
        + head_bytes(config, options),
        dtype=dtype,
        device=device,
        context=context,
        fused=fused,
    )
    weights = read_weights(contents, target, progress)
    network = network_of(config, weights)
    ends = end_tokens(folder, config)
    limits = Limits(
        canvas_length=config.canvas_length,
        max_context_tokens=context,
        end_token_ids=frozenset(ends),
        vocabulary_size=config.vocabulary_size,
    )
    info = ModelInfo(
        name=served_name(options.model, options.served_model_name),
        canvas_length=config.canvas_length,
        max_context_tokens=context,
        vocabulary_size=config.vocabulary_size,
        end_token_ids=ends,
        parameter_count=sum(parameter.numel() for parameter in network.parameters()),
        sees=network.vision is not None,
        device=str(device),
        dtype=str(dtype).removeprefix("torch."),
        defaults=defaults,
        capacity=capacity,
    )
    model = LoadedModel(
        network=network,
        limits=limits,
        device=device,
        capacity=capacity,
        fused=fused,
        fp8_head=options.fp8_lm_head,
        scales=weights.scales,
        low_bit=weights.low_bit,
        vocabulary=Vocabulary.of(folder),
    )
    return model, info


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
