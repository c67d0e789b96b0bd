"""The network as a chain of fused kernels; equal to `DiffusionGemma` up to rounding.

Host code only launches: what is run is decided by tensors on the device, so a pass can be captured
as a CUDA graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from palimpsest.engine.cache import PagedCache
from palimpsest.engine.config import ModelConfig, Rope
from palimpsest.engine.gpu.layout import PassLayout
from palimpsest.engine.gpu.side import Side
from palimpsest.engine.gpu.weights import LayerWeights, MlpWeights, NetworkWeights
from palimpsest.engine.model import frequencies_of
from palimpsest.engine.pages import Window
from palimpsest.engine.shapes import Hidden, Shown, SoftEmbedding
from palimpsest.kernels.fused.after_attention import after_attention
from palimpsest.kernels.fused.after_experts import MlpOutputs, OfSlots, after_experts
from palimpsest.kernels.fused.attention import attention
from palimpsest.kernels.fused.enter import enter
from palimpsest.kernels.fused.expert_rows import expert_rows
from palimpsest.kernels.fused.experts import experts
from palimpsest.kernels.fused.heads import CacheSlots, KeyValueRows, RotationTables, heads
from palimpsest.kernels.fused.linear import gated_linear, linear
from palimpsest.kernels.fused.rounding import Rounded
from palimpsest.kernels.fused.routing import routing
from palimpsest.kernels.norm import rms_norm
from palimpsest.kernels.rope import rotation
from palimpsest.kernels.shapes import ExpertIds, InverseFrequencies

RopeKind = tuple[Rope, int]
Rotations = Mapping[RopeKind, RotationTables]


@dataclass(frozen=True, slots=True, kw_only=True)
class FusedNetwork:
    """Runs passes over a paged cache."""

    config: ModelConfig
    weights: NetworkWeights
    cache: PagedCache
    quantised: bool
    """Whether activations are rounded to e4m3, as the weights are."""
    frequencies: Mapping[RopeKind, InverseFrequencies]
    side: Side | None
    """For the dense MLPs, which compute while the experts read; None: one after the other."""

    @classmethod
    def of(
        cls, config: ModelConfig, weights: NetworkWeights, cache: PagedCache, *, quantised: bool
    ) -> FusedNetwork:
        """Clears the cache: pages that nobody wrote must not hold what is no number."""
        for rows in (*cache.keys, *cache.values):
            rows.zero_()
        kinds = {(layer.rope, layer.head_dim) for layer in config.layers}
        device = weights.embedding.device
        frequencies = {kind: frequencies_of(*kind).to(device) for kind in kinds}
        return cls(
            config=config,
            weights=weights,
            cache=cache,
            quantised=quantised,
            frequencies=frequencies,
            side=Side(device),
        )

    @property
    def windows(self) -> list[Window]:
        """The kinds of layers."""
        return list(dict.fromkeys(layer.window for layer in self.config.layers))

    def forward(
        self,
        layout: PassLayout,
        canvas_tokens: Tensor,
        soft_embedding: SoftEmbedding,
        shown: Shown,
    ) -> Hidden:
        """Final normalised hidden states [T, H], given the tokens [L] of the canvas rows, what the
        last step told each of them (zeros where there was none), and the rows [P, H] of pictures.
        """
        weights = self.weights
        stream, entered = enter(
            layout.token_ids,
            embedding=weights.embedding,
            scale=self.embedding_scale,
            canvas_tokens=canvas_tokens,
            signal=self._signal(soft_embedding),
            canvas_rows=layout.canvas_rows,
            shown=shown,
            shown_rows=layout.shown_rows,
            norm=weights.layers[0].input_norm,
            epsilon=self.config.epsilon,
            quantised=self.quantised,
        )
        rotations = self._rotations(layout, stream.dtype)
        for layer in weights.layers:
            stream, entered = self._layer(layer, stream, entered, layout, rotations)
        return entered.values

    @property
    def embedding_scale(self) -> float:
        """√H rounded to the embedding's dtype: 53 in bf16 for H = 2816."""
        root = torch.tensor(self.config.hidden_size**0.5, dtype=self.weights.embedding.dtype)
        return root.item()

    def _layer(
        self,
        layer: LayerWeights,
        stream: Hidden,
        entered: Rounded,
        layout: PassLayout,
        rotations: Rotations,
    ) -> tuple[Hidden, Rounded]:
        """The stream after a layer, and what the following one reads; after the last one, the
        hidden states.
        """
        attended = self._attend(layer, entered, stream.dtype, layout, rotations)
        made = after_attention(stream, attended, layer.mlp_norms, quantised=self.quantised)
        with self.side.beside() if self.side else nullcontext():
            dense = _mlp(layer.dense, made.dense, stream.dtype)
        routed = routing(
            made.router,
            projection=layer.router,
            per_expert_scale=layer.per_expert_scale,
            experts_per_row=self.config.experts_per_token,
        )
        mixed = self._experts(layer, made.experts, routed.experts, layout, stream.dtype)
        if self.side:
            self.side.join()
        ended = after_experts(
            made.stream,
            MlpOutputs(
                dense=dense,
                experts=mixed,
                weights=routed.weights,
            ),
            layer.end,
            on_canvas=layout.canvas_rows >= 0,
            quantised=self.quantised and layer is not self.weights.layers[-1],
        )
        return ended.stream, ended.following

    def _experts(
        self,
        layer: LayerWeights,
        entered: Rounded,
        ids: ExpertIds,
        layout: PassLayout,
        dtype: torch.dtype,
    ) -> OfSlots:
        """Of every row and each of its experts, [T · K, H]; of dead rows nothing is written."""
        lists = expert_rows(ids, alive=layout.alive, num_experts=self.config.num_experts)
        return experts(
            entered,
            layer.experts,
            lists=lists,
            experts_per_row=self.config.experts_per_token,
            dtype=dtype,
        )

    def _attend(
        self,
        layer: LayerWeights,
        entered: Rounded,
        dtype: torch.dtype,
        layout: PassLayout,
        rotations: Rotations,
    ) -> Hidden:
        kind = layer.config
        cache = KeyValueRows(keys=self.cache.keys[kind.index], values=self.cache.values[kind.index])
        query, own = heads(
            linear(entered, layer.qkv, dtype=dtype),
            layer.head_norms,
            rotations[kind.rope, kind.head_dim],
            num_heads=self.config.num_heads,
            num_groups=kind.num_key_value_heads,
            stays=CacheSlots(cache=cache, slots=layout.slots[kind.window]),
        )
        table = layout.tables[kind.window]
        seen = attention(query, own, cache, table, window=kind.window, quantised=self.quantised)
        return linear(seen, layer.output, dtype=dtype)

    def _signal(self, soft_embedding: SoftEmbedding) -> Tensor:
        """What is added to the embeddings of canvas rows; zeros for zeros."""
        if len(soft_embedding) == 0:
            return soft_embedding
        norm = self.weights.self_conditioning_norm
        normed = rms_norm(soft_embedding, norm, epsilon=self.config.epsilon)
        return _mlp(self.weights.self_conditioning, Rounded(normed, None), normed.dtype)

    def _rotations(self, layout: PassLayout, dtype: torch.dtype) -> Rotations:
        tables = {}
        for kind, frequencies in self.frequencies.items():
            cosine, sine = rotation(layout.positions, frequencies, dtype)
            tables[kind] = RotationTables(cosine=cosine, sine=sine)
        return tables


def _mlp(mlp: MlpWeights, x: Rounded, dtype: torch.dtype) -> Hidden:
    return linear(gated_linear(x, mlp.gate_up, dtype=dtype), mlp.down, dtype=dtype)
