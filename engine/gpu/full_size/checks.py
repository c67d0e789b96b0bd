"""Whether what is about to be timed is right."""

from __future__ import annotations

from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace

import torch
from torch import Tensor

from palimpsest.engine.cache import PagedCache
from palimpsest.engine.config import ModelConfig
from palimpsest.engine.gpu.full_size.passes import Passes
from palimpsest.engine.gpu.full_size.sizes import Plan
from palimpsest.engine.gpu.layout import Part, PassShape, fields, lay_out, layout_of
from palimpsest.engine.gpu.network import FusedNetwork
from palimpsest.engine.gpu.packed import Packed
from palimpsest.engine.gpu.weight_format import WeightFormat
from palimpsest.engine.gpu.weights import NetworkWeights
from palimpsest.engine.layers import Layer
from palimpsest.engine.model import DiffusionGemma
from palimpsest.engine.page_table import PageTable
from palimpsest.engine.pages import Pages
from palimpsest.engine.segments import Segment, run_segments
from palimpsest.engine.training.loop import initialise
from palimpsest.kernels.fused.overlap import overlapping
from palimpsest.kernels.lowbit import quantise_low

STEPS = 3
PROMPT = 100
PAGES = 64
SIXTEEN_BITS = 1.5
"""Times the error of the plain network in the same dtype, which sums in another order."""
ORDER_OF_SUMS = 1e-4
"""Relative error that fp32 may have."""
EIGHT_BITS = 0.15
"""Relative error. Rounding to e4m3 moves a number by 2.6 % in the mean, inputs and weights alike;
four products in a row in each of two layers make √16 times as much.
"""


def graph_is_eager(passes: Passes, *, early: bool = False) -> list[str]:
    """How some steps in a graph, whose launches may come `early`, differ from the same ones
    without.
    """
    problems, context = [], min(passes.plan.contexts)
    parts = passes.parts(Pages(passes.counts), context)
    stores = [passes.new_store(1, passes.config.canvas_length) for _ in range(2)]
    programs = [passes.program(parts, store=stores[0], eager=True)]
    with overlapping() if early else nullcontext():
        programs.append(passes.program(parts, store=stores[1]))
    for step in range(STEPS):
        drafts = [p.run(parts, [passes.stepping(0, step)]).argmax.clone() for p in programs]
        if not torch.equal(*drafts) or not torch.equal(*(store.tokens[:1] for store in stores)):
            problems.append(f"step {step + 1} in a graph gives other tokens")
    return problems


def fused_is_plain(plan: Plan, *, weight_format: WeightFormat) -> list[str]:
    """How two layers of fused kernels differ from the plain network in fp32: a prompt and the
    canvas behind it. What few bits make of experts is no error: the plain network has it too.
    """
    torch.manual_seed(0)
    config = _two_layers(plan.config)
    with torch.device(plan.device):
        exact = DiffusionGemma(config)
    initialise(exact)
    _round_experts(exact, weight_format)
    parts = _parts(config)
    tokens = torch.randint(config.vocabulary_size, (config.canvas_length,), device=plan.device)
    wanted = _plain(exact, parts, tokens)
    rounded = exact.to(plan.dtype)
    allowed = EIGHT_BITS
    if not weight_format.quantised:
        of_plain = _error(_plain(rounded, parts, tokens), wanted)
        allowed = max(ORDER_OF_SUMS, SIXTEEN_BITS * of_plain)
    error = _error(_fused(rounded, parts, tokens, weight_format=weight_format), wanted)
    # not "error > allowed", which what is no number would pass
    return [] if error <= allowed else [f"hidden states are {error:.2e} off, {allowed:.2e} allowed"]


def _round_experts(network: DiffusionGemma, weight_format: WeightFormat) -> None:
    """To their 6 or 4 bits, which come back as they are when they are rounded again."""
    bits = weight_format.expert_bits
    if bits is None or bits == 8:
        return
    for layer in network.layers:
        assert isinstance(layer, Layer)
        gate_up, down = layer.experts.gate_up_proj, layer.experts.down_proj
        gate_up.data = quantise_low(gate_up.data, bits=bits, gated=True).exact()
        down.data = quantise_low(down.data, bits=bits).exact()


def _two_layers(config: ModelConfig) -> ModelConfig:
    """A sliding one and a full one."""
    full = next(layer for layer in config.layers if layer.window is None)
    kept = (config.layers[0], full)
    layers = tuple(replace(layer, index=index) for index, layer in enumerate(kept))
    return replace(config, layers=layers)


def _parts(config: ModelConfig) -> list[Part]:
    table = PageTable(Pages(dict.fromkeys((layer.window for layer in config.layers), PAGES)))
    table.extend(PROMPT)
    prompt = [i % config.vocabulary_size for i in range(PROMPT)]
    return [
        Part.of(table, start=0, length=PROMPT, token_ids=prompt),
        Part.of(table, start=PROMPT, length=config.canvas_length),
    ]


def _plain(network: DiffusionGemma, parts: list[Part], tokens: Tensor) -> Tensor:
    cache = _cache(network.config, network.embed_tokens.weight)
    segments = [
        Segment(
            cache=cache.of(part.table),
            token_ids=tokens if part.token_ids is None else tokens.new_tensor(part.token_ids),
            start=part.start,
            causal=part.token_ids is not None,
        )
        for part in parts
    ]
    return run_segments(network, segments)[-1].float()


def _fused(
    network: DiffusionGemma, parts: list[Part], tokens: Tensor, *, weight_format: WeightFormat
) -> Tensor:
    config, like = network.config, network.embed_tokens.weight
    weights = NetworkWeights.of(deepcopy(network), weight_format=weight_format)
    cache = _cache(config, like)
    fused = FusedNetwork.of(config, weights, cache, quantised=weight_format.quantised)
    shape = PassShape.of(parts, config.canvas_length)
    of_layout = fields(shape, fused.windows, context_tokens=PROMPT + config.canvas_length)
    packed = Packed(of_layout, device=like.device)
    packed.send(*lay_out(parts, packed.here, fused.windows, canvas_length=config.canvas_length))
    layout = layout_of(packed.there, fused.windows)
    told_nothing = like.new_zeros(config.canvas_length, config.hidden_size)
    hidden = fused.forward(layout, tokens.int(), told_nothing, told_nothing[:1])
    return hidden[layout.rows_of_canvases].float()


def _cache(config: ModelConfig, like: Tensor) -> PagedCache:
    counts = dict.fromkeys((layer.window for layer in config.layers), PAGES)
    return PagedCache(config, counts, dtype=like.dtype, device=like.device)


def _error(made: Tensor, wanted: Tensor) -> float:
    """Of a row, the median."""
    return float(((made - wanted).norm(dim=1) / wanted.norm(dim=1)).median())
