"""Parity, first level: each part of the network alone gives what the reference's part gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from pairs import Pair
from reference import Call, Recording, record, watching
from replay import random_prompt
from torch import Tensor

from palimpsest.engine.cache import SequenceCache
from palimpsest.engine.layers import Experts
from palimpsest.engine.model import Rows
from palimpsest.engine.segments import Segment, SegmentAttention
from palimpsest.kernels.experts import mixture_of_experts

TOLERANCE = 1e-5
"""fp32, absolute: a few roundings of values of order ten."""
LAYERS = (0, 2, 3)
"""Two sliding layers and the full one, of both checkpoints."""
MODES = ("causal", "canvas")


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """A prefill of a prompt beyond the window, and two denoising steps, seen from inside."""

    pair: Pair
    recording: Recording
    calls: dict[str, list[Call]]
    """By name of the module: below `model.encoder.language_model.` or `model.decoder.`."""

    def call(self, mode: str, name: str) -> Call:
        """The prefill's call, or that of the second denoising step."""
        return self.calls[f"{mode}.{name}"][-1]

    def segment(self, mode: str) -> Segment:
        """The same tokens for the engine, over the reference's own cache for a canvas."""
        prompt = self.recording.prompt
        if mode == "causal":
            return self._segment(_cache(self.pair), prompt, start=0, causal=True)
        canvas = self.recording.steps[-1].canvas.tolist()
        cache = self._filled_cache()
        return self._segment(cache, canvas, start=len(prompt), causal=False)

    def _segment(
        self, cache: SequenceCache, tokens: list[int], *, start: int, causal: bool
    ) -> Segment:
        return Segment(cache=cache, token_ids=torch.tensor(tokens), start=start, causal=causal)

    def _filled_cache(self) -> SequenceCache:
        cache = _cache(self.pair)
        kept = self.call("canvas", "layers.0.self_attn").keywords["past_key_values"]
        for layer, rows in zip(cache.layers, kept.layers, strict=True):
            keys, values = (x[0].transpose(0, 1) for x in (rows.keys, rows.values))
            cache.write(layer, len(self.recording.prompt) - len(keys), keys, values)
        return cache


def _cache(pair: Pair) -> SequenceCache:
    config = pair.model.network.config
    return SequenceCache(config, dtype=torch.float32, device=pair.model.device)


@pytest.fixture(scope="module")
def observed(pair: Pair) -> Observed:
    model = pair.reference.model
    names = ["norm", *(f"layers.{i}" for i in LAYERS)]
    parts = ["self_attn", "mlp", "router", "experts", "input_layernorm"]
    names += [f"layers.{i}.{part}" for i in LAYERS for part in parts]
    stacks = {"causal": model.encoder.language_model, "canvas": model.decoder}
    modules = {
        f"{mode}.{name}": stack.get_submodule(name)
        for mode, stack in stacks.items()
        for name in names
    }
    modules["canvas.self_conditioning"] = model.decoder.self_conditioning
    modules["canvas.lm_head"] = pair.reference.lm_head
    prompt = random_prompt(pair.window * 3 // 2)
    with watching(*modules.values()) as calls:
        recording = record(pair.reference, prompt, seed=0, canvases=1, max_denoising_steps=2)
    return Observed(pair=pair, recording=recording, calls=dict(zip(modules, calls, strict=True)))


def same(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=TOLERANCE)


def first_inputs(observed: Observed, rows: Rows) -> Tensor:
    """What the engine's first layer is given."""
    network = observed.pair.model.network
    mode = "canvas" if bool(rows.on_canvas[0]) else "causal"
    with torch.inference_mode(), watching(network.layers[0]) as (calls,):
        network(rows, SegmentAttention([observed.segment(mode)]))
    return calls[0].inputs[0]


def rows_of(tokens: Tensor, *, canvas: bool, soft: Tensor | None) -> Rows:
    return Rows(
        token_ids=tokens,
        positions=torch.arange(len(tokens)),
        on_canvas=torch.full((len(tokens),), canvas),
        soft_embedding=soft,
    )


def test_causal_rows_enter_as_the_references_do(observed: Observed) -> None:
    rows = rows_of(torch.tensor(observed.recording.prompt), canvas=False, soft=None)
    expected = observed.call("causal", "layers.0").inputs[0]
    assert torch.equal(first_inputs(observed, rows), expected)


@pytest.mark.parametrize("step", [0, 1], ids=["first step", "self-conditioned"])
def test_canvas_rows_enter_as_the_references_do(observed: Observed, step: int) -> None:
    call = observed.calls["canvas.self_conditioning"][step]
    soft = call.inputs[1] if step else None
    rows = rows_of(observed.recording.steps[step].canvas, canvas=True, soft=soft)
    same(first_inputs(observed, rows), call.output)


def test_the_soft_embedding_is_the_references(observed: Observed) -> None:
    conditioning = observed.recording.steps[1].conditioning
    assert conditioning is not None
    soft = observed.pair.model.network.soften(conditioning.softmax(-1))
    same(soft, observed.calls["canvas.self_conditioning"][1].inputs[1])


def attending(observed: Observed, mode: str, index: int) -> dict[str, Any]:
    """Keywords of the engine's layers: the reference's angles, and attention over its cache."""
    cosine, sine = observed.call(mode, f"layers.{index}.self_attn").keywords["position_embeddings"]
    attend = SegmentAttention([observed.segment(mode)])
    return {"cosine": cosine, "sine": sine, "attend": attend}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("index", LAYERS)
def test_attention_is_the_references(observed: Observed, index: int, mode: str) -> None:
    call = observed.call(mode, f"layers.{index}.self_attn")
    attention = observed.pair.model.network.layers[index].get_submodule("self_attn")
    output = attention(call.keywords["hidden_states"], **attending(observed, mode, index))
    same(output, call.output[0])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("index", LAYERS)
@pytest.mark.parametrize("part", ["mlp", "input_layernorm"])
def test_norms_and_mlps_are_the_references(
    observed: Observed, index: int, mode: str, part: str
) -> None:
    call = observed.call(mode, f"layers.{index}.{part}")
    own = observed.pair.model.network.layers[index].get_submodule(part)
    same(own(call.inputs[0]), call.output)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("index", LAYERS)
def test_routers_choose_as_the_references_do(observed: Observed, index: int, mode: str) -> None:
    call = observed.call(mode, f"layers.{index}.router")
    router = observed.pair.model.network.layers[index].get_submodule("router")
    weights, experts, probabilities = router(call.inputs[0])
    same(probabilities, call.output[0])
    same(weights, call.output[1])
    assert torch.equal(experts, call.output[2])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("index", LAYERS)
def test_experts_are_the_references(observed: Observed, index: int, mode: str) -> None:
    call = observed.call(mode, f"layers.{index}.experts")
    x, experts, weights = call.inputs
    own = observed.pair.model.network.layers[index].get_submodule("experts")
    assert isinstance(own, Experts)
    output = mixture_of_experts(
        x, weights=weights, experts=experts, gate_up=own.gate_up_proj, down=own.down_proj
    )
    same(output, call.output)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("index", LAYERS)
def test_whole_layers_are_the_references(observed: Observed, index: int, mode: str) -> None:
    call = observed.call(mode, f"layers.{index}")
    hidden = call.inputs[0]
    layer = observed.pair.model.network.layers[index]
    # of the rows a layer reads what they are for, not what they are
    rows = rows_of(torch.zeros(len(hidden), dtype=torch.int64), canvas=mode == "canvas", soft=None)
    output = layer(hidden, rows, **attending(observed, mode, index))
    same(output, call.output)


def test_the_final_norm_and_the_logits_are_the_references(observed: Observed) -> None:
    network = observed.pair.model.network
    call = observed.call("canvas", "norm")
    same(network.norm(call.inputs[0]), call.output)
    same(
        network.logits(observed.call("canvas", "lm_head").inputs[0]),
        observed.recording.steps[1].raw,
    )
