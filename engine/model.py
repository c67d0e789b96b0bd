"""The network: rows of tokens in, hidden states and logits out, named as in the checkpoint.

One stack of weights runs in two modes, row by row: *causal* rows (prefill and commit) enter as
plain scaled embeddings; *canvas* rows (denoising) enter normalised with the self-conditioning
signal added. The layer scalars exist once per mode. Which row sees which key is not known here:
attention is passed in, so the same code serves caches, ragged batches and training. Formulas:
transformers, models/diffusion_gemma.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from palimpsest.engine.config import LayerConfig, ModelConfig, Rope
from palimpsest.engine.layers import Layer, Norm, SelfConditioning
from palimpsest.engine.shapes import (
    Hidden,
    Keys,
    Logits,
    Positions,
    Queries,
    RowMask,
    Shown,
    SoftEmbedding,
    TokenIds,
)
from palimpsest.engine.vision.tower import Vision
from palimpsest.kernels.norm import rms_norm
from palimpsest.kernels.rope import default_frequencies, proportional_frequencies, rotation
from palimpsest.kernels.shapes import InverseFrequencies


@runtime_checkable
class Attend(Protocol):
    """Attention of one layer over all rows of a pass; stores keys and values if it has a cache."""

    def __call__(
        self, layer: LayerConfig, *, query: Queries, key: Keys, value: Keys
    ) -> Queries: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureRows:
    """Rows that show parts of pictures."""

    rows: RowMask
    """True for those rows."""
    embeddings: Shown
    """What they enter as, in their order; unscaled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The rows of one pass, canvases and causal ranges side by side."""

    token_ids: TokenIds
    positions: Positions
    on_canvas: RowMask
    """True for rows that are being denoised, False for causal ones."""
    soft_embedding: SoftEmbedding | None
    """Self-conditioning of the canvas rows in their order, scaled; zeros or None mean none yet."""
    pictures: PictureRows | None = None
    """Causal rows that are not what their tokens say."""
    expert_row_multiple: int = 1
    """See `mixture_of_experts`; 1 rounds as the reference does."""


class DiffusionGemma(nn.Module):
    """The network of a checkpoint. Weights are uninitialised until loaded or trained."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        # its own initialisation would import torch's compiler on the meta device: a second
        uninitialised = torch.empty(config.vocabulary_size, config.hidden_size)
        self.embed_tokens = nn.Embedding.from_pretrained(uninitialised, freeze=False)
        self.self_conditioning = SelfConditioning(config)
        self.layers = nn.ModuleList(Layer(config, layer) for layer in config.layers)
        self.norm = Norm(config.hidden_size, config.epsilon)
        self.vision = None if config.vision is None else Vision(config.vision, config.hidden_size)

    def forward(self, rows: Rows, attend: Attend) -> Hidden:
        """Final normalised hidden states of all rows."""
        x = self._enter(rows)
        angles = {rope: self._rotation(rope, rows, x.dtype) for rope in self._rope_kinds()}
        for kind, layer in zip(self.config.layers, self.layers, strict=True):
            cosine, sine = angles[kind.rope, kind.head_dim]
            x = layer(x, rows, cosine=cosine, sine=sine, attend=attend)
        return self.norm(x)

    def logits(self, hidden: Hidden) -> Logits:
        """Softcapped logits in fp32; the embedding is the output head."""
        raw = nn.functional.linear(hidden, self.embed_tokens.weight).float()
        return torch.tanh(raw / self.config.logit_softcap) * self.config.logit_softcap

    def soften(self, probabilities: Logits) -> SoftEmbedding:
        """The expected embedding under `probabilities`, scaled: what the next step is told."""
        weight = self.embed_tokens.weight
        return probabilities.to(weight.dtype) @ weight * self._embedding_scale()

    def _enter(self, rows: Rows) -> Hidden:
        embedded = self.embed_tokens(rows.token_ids) * self._embedding_scale()
        if rows.pictures is not None:
            shown = rows.pictures.rows.nonzero()[:, 0]
            embedded = embedded.index_put((shown,), rows.pictures.embeddings.to(embedded.dtype))
        canvas = rows.on_canvas.nonzero()[:, 0]
        if len(canvas) == 0:
            return embedded
        entering = embedded[canvas]
        if rows.soft_embedding is not None:
            entering = entering + self.self_conditioning(rows.soft_embedding)
        # the norm applies with and without a signal: a zero signal is not the identity
        entering = rms_norm(entering, None, epsilon=self.config.epsilon)
        return embedded.index_put((canvas,), entering.to(embedded.dtype))

    def _embedding_scale(self) -> torch.Tensor:
        # √H rounded to the weights' dtype: 53.0 in bf16 for H = 2816
        weight = self.embed_tokens.weight
        return torch.tensor(self.config.hidden_size**0.5, dtype=weight.dtype, device=weight.device)

    def _rope_kinds(self) -> set[tuple[Rope, int]]:
        return {(layer.rope, layer.head_dim) for layer in self.config.layers}

    def _rotation(
        self, kind: tuple[Rope, int], rows: Rows, dtype: torch.dtype
    ) -> tuple[torch.Tensor, torch.Tensor]:
        frequencies = frequencies_of(*kind).to(rows.positions.device)
        return rotation(rows.positions, frequencies, dtype)


def frequencies_of(rope: Rope, head_dim: int) -> InverseFrequencies:
    """Of the pairs of one kind of layer."""
    if rope.rotated_fraction == 1.0:
        return default_frequencies(head_dim, theta=rope.theta)
    return proportional_frequencies(
        head_dim,
        theta=rope.theta,
        rotated_fraction=rope.rotated_fraction,
        factor=rope.factor,
    )
