"""What fits into a device's memory: weights, one pass, and the rest for keys and values."""

from __future__ import annotations

import bisect
import math
import os
from collections.abc import Callable

import torch

from palimpsest.engine.cache import bytes_per_token
from palimpsest.engine.capacity import Capacity, Demand, share_out
from palimpsest.engine.config import ModelConfig
from palimpsest.engine.errors import DoesNotFit
from palimpsest.engine.options import EngineOptions
from palimpsest.engine.quantised.reading import kept_tensors
from palimpsest.engine.tiles import TILE_ELEMENTS
from palimpsest.engine.vision.config import BUDGETS
from palimpsest.engine.vision.encoder_cache import KEPT_BYTES, PATCHES_AT_ONCE
from palimpsest.engine.weights import Contents

_GIB = 2**30
_TILE_COPIES = 6
"""fp32 tensors of one tile of logits that are alive at once in a denoising step."""
CANVASES_AT_ONCE = 16
"""That take their step together on fused kernels: each needs C · V weights until it is done, and so
many rows keep a device busy.
"""
_CPU_CACHE_BYTES = 2**28
"""Cache on a CPU unless the operator says more: a laptop's memory is not ours to fill."""


def capacity_of(
    config: ModelConfig,
    options: EngineOptions,
    *,
    weights: int,
    dtype: torch.dtype,
    device: torch.device,
    context: int,
    fused: bool,
) -> Capacity:
    """What runs at once beside so many bytes of weights. Raises DoesNotFit if not even one full
    sequence does.
    """

    def demand(context: int) -> Demand:
        return _demand(config, options, dtype=dtype, context=context)

    one_pass = _pass_bytes(config, dtype, options, fused=fused)
    room = int(memory_of(device) * options.gpu_memory_utilization) - weights - one_pass
    if options.kv_cache_memory is not None:
        room = min(room, int(options.kv_cache_memory * _GIB))
    if demand(context).bytes_of_one > room:
        need = f"weights {weights / _GIB:.2f} GiB, a pass {one_pass / _GIB:.2f} GiB, cache "
        need += f"{demand(context).bytes_of_one / _GIB:.2f} GiB for {context} tokens"
        raise DoesNotFit(
            f"{need}, but {_have(device, options)}; {_advice(config, demand, context, room)}"
        )
    usual = room if device.type != "cpu" or options.kv_cache_memory else min(room, _CPU_CACHE_BYTES)
    pages = share_out(usual, demand(context), max_num_seqs=options.max_num_seqs)
    return Capacity(
        pages=pages,
        cache_bytes=demand(context).bytes_of(pages),
        max_num_seqs=options.max_num_seqs,
        prefill_tokens=options.max_prefill_tokens,
    )


def longest_context(
    config: ModelConfig,
    options: EngineOptions,
    *,
    weights: int,
    dtype: torch.dtype,
    memory: int,
    fused: bool,
) -> int:
    """Tokens of prompt and answer that `max_num_seqs` sequences at once may each have on a device
    with so many bytes of memory; 0 if not even the shortest fits.
    """
    one_pass = _pass_bytes(config, dtype, options, fused=fused)
    room = int(memory * options.gpu_memory_utilization) - weights - one_pass

    def demand(context: int) -> int:
        of_one = _demand(config, options, dtype=dtype, context=context)
        return options.max_num_seqs * of_one.bytes_of_one

    contexts = range(2 * config.canvas_length, config.max_context_tokens + 1)
    fitting = bisect.bisect_right(contexts, room, key=demand)
    return contexts[fitting - 1] if fitting else 0


def _demand(
    config: ModelConfig, options: EngineOptions, *, dtype: torch.dtype, context: int
) -> Demand:
    """What sequences of so many tokens need of the cache."""
    return Demand(
        bytes_per_token=bytes_per_token(config, dtype),
        context_tokens=context,
        chunk_tokens=max(
            options.max_prefill_tokens, config.canvas_length, _longest_picture(config)
        ),
    )


def _have(device: torch.device, options: EngineOptions) -> str:
    """What the operator allows."""
    share = options.gpu_memory_utilization
    have = f"{memory_of(device) * share / _GIB:.2f} GiB are allowed on {device} "
    have += f"(--gpu-memory-utilization {share})"
    if options.kv_cache_memory is not None:
        have += f", {options.kv_cache_memory} GiB of them for the cache (--kv-cache-memory)"
    return have


def _advice(config: ModelConfig, demand: Callable[[int], Demand], context: int, room: int) -> str:
    contexts = range(2 * config.canvas_length, context)
    fitting = bisect.bisect_right(contexts, room, key=lambda one: demand(one).bytes_of_one)
    if fitting:
        return f"--max-model-len {contexts[fitting - 1]} would fit"
    return "that leaves no room for a sequence; use a larger device or fewer --max-num-seqs"


def memory_of(device: torch.device) -> int:
    """Bytes of memory that the device has, or that the machine has for the CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def canvas_bytes(config: ModelConfig, dtype: torch.dtype) -> int:
    """What is kept of a canvas between steps: soft embedding, tokens, draft and noise."""
    tokens, uniforms = 8 * 2, 8 * (8 + 4)
    return config.canvas_length * (config.hidden_size * dtype.itemsize + tokens + uniforms)


def _pass_bytes(
    config: ModelConfig, dtype: torch.dtype, options: EngineOptions, *, fused: bool
) -> int:
    """Of the largest pass: states, activations of all rows, and logits that are alive at once."""
    rows = 2 * options.max_num_seqs * config.canvas_length + options.max_prefill_tokens
    rows += _longest_picture(config)
    heads = config.num_heads * max(layer.head_dim for layer in config.layers)
    of_experts = config.experts_per_token * (3 * config.expert_width + 3 * config.hidden_size)
    of_row = 8 * config.hidden_size + 4 * heads + max(of_experts, 3 * config.mlp_width)
    tile = min(TILE_ELEMENTS, rows * config.vocabulary_size)
    logits = _TILE_COPIES * 4 * tile
    if fused:
        at_once = min(CANVASES_AT_ONCE, options.max_num_seqs)
        logits += at_once * config.canvas_length * config.vocabulary_size * dtype.itemsize
    states = options.max_num_seqs * canvas_bytes(config, dtype)
    return states + rows * of_row * dtype.itemsize + logits + _vision_bytes(config)


def _longest_picture(config: ModelConfig) -> int:
    """Tokens of a prompt that are read in one pass, whatever its bound."""
    return 0 if config.vision is None else BUDGETS[-1]


def _vision_bytes(config: ModelConfig) -> int:
    """Of pictures: what is kept of those seen lately, and the tower's activations in fp32."""
    if (vision := config.vision) is None:
        return 0
    of_patch = 8 * vision.hidden_size + 3 * vision.mlp_width + 3 * vision.patch_values
    return KEPT_BYTES + PATCHES_AT_ONCE * of_patch * 4


def head_bytes(config: ModelConfig, options: EngineOptions) -> int:
    """Of the embedding's copy in e4m3, with a scale for each token, where there is one."""
    return config.vocabulary_size * (config.hidden_size + 4) if options.fp8_lm_head else 0


def weight_bytes(contents: Contents, dtype: torch.dtype, *, keep_codes: bool = False) -> int:
    """Of all weights in the files as they are served: in `dtype`, or as they are coded."""
    pieces = contents.pieces
    kept = kept_tensors(pieces) if keep_codes else {}
    of_text = sum(
        math.prod(piece.place.shape) * kept.get(piece.place.own, dtype.itemsize) for piece in pieces
    )
    read = {name for piece in pieces for name in piece.parts.values()}
    others = (entry for name, entry in contents.entries.items() if name not in read)
    return round(of_text) + sum(entry.elements for entry in others) * dtype.itemsize
