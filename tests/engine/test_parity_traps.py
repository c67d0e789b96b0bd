"""The ten things that are easy to get wrong, in the network: one named test each (1 to 5).

Each shows that the engine does what the reference does, and that the wrong way would be seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from pairs import Pair
from reference import Call, Recording, record, watching
from replay import random_prompt
from torch import Tensor

from palimpsest.engine.cache import SequenceCache
from palimpsest.engine.config import LayerConfig
from palimpsest.engine.layers import SelfAttention
from palimpsest.engine.model import Attend
from palimpsest.engine.segments import Segment, SegmentAttention, run_segments
from palimpsest.kernels.attention import attention
from palimpsest.kernels.norm import rms_norm

EXACT, WRONG = 1e-5, 1e-2
"""Right is within the first of the reference, wrong is at least the second away."""
SLIDING, FULL = 0, 3
EPSILON = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The first denoising step after a prompt of two and a half windows."""

    pair: Pair
    recording: Recording
    calls: dict[str, Call]

    @property
    def prompt_length(self) -> int:
        return len(self.recording.prompt)

    @property
    def canvas(self) -> Tensor:
        return self.recording.steps[0].canvas


@pytest.fixture(scope="module")
def seen(calm: Pair) -> Seen:
    decoder, encoder = calm.reference.model.decoder, calm.reference.model.encoder.language_model
    modules = {
        "sliding": decoder.layers[SLIDING].self_attn,
        "full": decoder.layers[FULL].self_attn,
        "canvas entry": decoder.layers[0],
        "causal entry": encoder.layers[0],
        "norm": decoder.norm,
    }
    prompt = random_prompt(int(2.5 * calm.window))
    with watching(*modules.values()) as calls:
        recording = record(calm.reference, prompt, seed=0, canvases=1, max_denoising_steps=1)
    named = {name: call for name, (call,) in zip(modules, calls, strict=True)}
    return Seen(pair=calm, recording=recording, calls=named)


def distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())


Change = Callable[[Attend, LayerConfig, dict[str, Tensor]], Tensor]


def attended(seen: Seen, name: str, change: Change | None = None) -> Tensor:
    """The engine's attention of one layer for the canvas, perhaps with attention itself changed."""
    call = seen.calls[name]
    attend = SegmentAttention([_canvas_segment(seen, call.keywords["past_key_values"])])

    def changed(layer: LayerConfig, **parts: Tensor) -> Tensor:
        return attend(layer, **parts) if change is None else change(attend, layer, parts)

    cosine, sine = call.keywords["position_embeddings"]
    own = _attention_of(seen, name)
    return own(call.keywords["hidden_states"], cosine=cosine, sine=sine, attend=changed)


def _attention_of(seen: Seen, name: str) -> SelfAttention:
    layer = seen.pair.model.network.layers[SLIDING if name == "sliding" else FULL]
    own = layer.get_submodule("self_attn")
    assert isinstance(own, SelfAttention)
    return own


def _canvas_segment(seen: Seen, kept: Any) -> Segment:  # noqa: ANN401 - a cache of transformers
    """The canvas over the reference's own keys and values."""
    cache = _empty_cache(seen)
    for layer, rows in zip(cache.layers, kept.layers, strict=True):
        keys, values = (x[0].transpose(0, 1) for x in (rows.keys, rows.values))
        cache.write(layer, seen.prompt_length - len(keys), keys, values)
    return Segment(cache=cache, token_ids=seen.canvas, start=seen.prompt_length, causal=False)


def _empty_cache(seen: Seen) -> SequenceCache:
    config = seen.pair.model.network.config
    return SequenceCache(config, dtype=torch.float32, device=seen.pair.model.device)


@torch.inference_mode()
def test_trap_01_canvas_embeddings_are_normalised_even_without_self_conditioning(
    seen: Seen,
) -> None:
    network = seen.pair.model.network
    prompt = torch.tensor(seen.recording.prompt)
    cache = _empty_cache(seen)
    causal = Segment(cache=cache, token_ids=prompt, start=0, causal=True)
    canvas = Segment(cache=cache, token_ids=seen.canvas, start=len(prompt), causal=False)
    with watching(network.layers[0]) as (calls,):
        run_segments(network, [causal])
        run_segments(network, [canvas])
    causal_entry, canvas_entry = (call.inputs[0] for call in calls)
    assert distance(canvas_entry, seen.calls["canvas entry"].inputs[0]) < EXACT
    assert distance(causal_entry, seen.calls["causal entry"].inputs[0]) < EXACT
    plain = network.embed_tokens(seen.canvas) * 64**0.5
    assert distance(plain, seen.calls["canvas entry"].inputs[0]) > WRONG


@pytest.mark.parametrize("name", ["sliding", "full"])
def test_trap_02_attention_scale_is_one_and_values_have_a_norm_without_weight(
    seen: Seen, name: str
) -> None:
    expected = seen.calls[name].output[0]

    def scaled(attend: Attend, layer: LayerConfig, parts: dict[str, Tensor]) -> Tensor:
        return attend(layer, **{**parts, "query": parts["query"] * layer.head_dim**-0.5})

    def without_norm(attend: Attend, layer: LayerConfig, parts: dict[str, Tensor]) -> Tensor:
        own = _attention_of(seen, name)
        project = own.v_proj or own.k_proj
        raw = project(seen.calls[name].keywords["hidden_states"])
        return attend(layer, **{**parts, "value": raw.unflatten(-1, (-1, layer.head_dim))})

    assert distance(attended(seen, name), expected) < EXACT
    assert distance(attended(seen, name, scaled), expected) > WRONG
    assert distance(attended(seen, name, without_norm), expected) > WRONG


def test_trap_03_norm_weights_are_plain_multipliers(seen: Seen) -> None:
    norm = seen.pair.model.network.norm
    x, expected = seen.calls["norm"].inputs[0], seen.calls["norm"].output
    assert distance(norm(x), expected) < EXACT
    assert distance(rms_norm(x, 1 + norm.weight, epsilon=EPSILON), expected) > WRONG


def test_trap_04_values_of_full_layers_are_the_raw_keys_normalised(seen: Seen) -> None:
    assert _attention_of(seen, "full").v_proj is None
    assert _attention_of(seen, "sliding").v_proj is not None
    expected = seen.calls["full"].output[0]

    def finished_keys(attend: Attend, layer: LayerConfig, parts: dict[str, Tensor]) -> Tensor:
        """After the keys' own norm and rotation instead of before."""
        return attend(layer, **{**parts, "value": parts["key"]})

    assert distance(attended(seen, "full"), expected) < EXACT
    assert distance(attended(seen, "full", finished_keys), expected) > WRONG


def test_trap_05_canvas_queries_all_see_the_same_last_window_minus_one_prefix_keys(
    seen: Seen,
) -> None:
    expected = seen.calls["sliding"].output[0]
    window, start = seen.pair.window, seen.prompt_length

    def banded(attend: Attend, layer: LayerConfig, parts: dict[str, Tensor]) -> Tensor:
        """Each query its own window, as in the causal mode."""
        segment = _canvas_segment(seen, seen.calls["sliding"].keywords["past_key_values"])
        segment.cache.write(layer, start, parts["key"], parts["value"])
        keys, values = segment.cache.read(layer, start - window + 1, segment.end)
        columns = torch.arange(start - window + 1, segment.end)
        rows = torch.arange(start, segment.end)
        mask = (rows[:, None] - columns < window) | (columns >= start)
        return attention(query=parts["query"], key=keys, value=values, mask=mask)

    assert distance(attended(seen, "sliding"), expected) < EXACT
    assert distance(attended(seen, "sliding", banded), expected) > WRONG
    for query, reached in _reach(seen).items():
        assert reached == list(range(start - window + 1, start)), query


def _reach(seen: Seen) -> dict[int, list[int]]:
    """By canvas query, the prefix positions whose value changes what a sliding layer gives it."""
    call = seen.calls["sliding"]
    segment = _canvas_segment(seen, call.keywords["past_key_values"])
    own = _attention_of(seen, "sliding")
    cosine, sine = call.keywords["position_embeddings"]
    keys, values = segment.cache.read(own.layer, 0, seen.prompt_length)
    # positions that the reference has forgotten hold something too
    keys[: -seen.pair.window + 1] = 1.0
    values[: -seen.pair.window + 1] = 1.0
    reached: dict[int, list[int]] = {query: [] for query in range(len(seen.canvas))}

    def output() -> Tensor:
        attend = SegmentAttention([segment])
        return own(call.keywords["hidden_states"], cosine=cosine, sine=sine, attend=attend)

    before = output()
    for position in range(seen.prompt_length):
        value = values[position].clone()
        # so large that the least attention shows
        values[position] += 1e12
        changed = (output() != before).any(-1)
        values[position] = value
        for query in changed.nonzero()[:, 0].tolist():
            reached[query].append(position)
    return reached
