"""Attention over a training batch, by plain matrix products.

Plain because the fused CPU kernel's backward pass is slow at small head sizes. Query heads that
share a key head are stacked as rows of one product.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from palimpsest.engine.config import LayerConfig, ModelConfig
from palimpsest.engine.training.batches import Batch

NEVER = float("-inf")


class BatchAttention:
    """Causal rows look back in their own example, and at all of a picture that they are in; canvas
    rows at what lies before their canvas, and at the canvas.
    """

    def __init__(self, batch: Batch, config: ModelConfig) -> None:
        device = batch.token_ids.device
        self.example, self.canvases = batch.example, batch.answer.shape
        self.causal, self.width = sum(batch.prefixes), -(-max(batch.prefixes) // 32) * 32
        self.filling = len(batch.token_ids) - self.causal - batch.answer.numel()
        slots = [i * self.width + row for i, n in enumerate(batch.prefixes) for row in range(n)]
        self.slots = torch.tensor(slots, device=device)
        self.padded = (len(batch.prefixes), self.width)
        place = torch.arange(self.width, device=device)
        kinds = {layer.window: layer for layer in config.layers}
        self.masks = {window: _masks(place, batch, kind) for window, kind in kinds.items()}
        if any(batch.pictures):
            blocks = _blocks(place, batch)
            self.masks = {w: (back.where(~blocks, 0.0), c) for w, (back, c) in self.masks.items()}

    @torch.compiler.disable
    def __call__(self, layer: LayerConfig, *, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        sizes = (self.causal, self.filling, self.canvases.numel())
        (q, _, own_q), (k, _, own_k), (v, _, own_v) = (x.split(sizes) for x in (query, key, value))
        looking_back, from_canvas = self.masks[layer.window]
        keys, values = self._pad(k), self._pad(v)
        causal = _attend(self._pad(q), keys, values, looking_back).flatten(0, 1)[self.slots]
        canvas = _attend(
            own_q.unflatten(0, self.canvases),
            torch.cat([keys[self.example], own_k.unflatten(0, self.canvases)], 1),
            torch.cat([values[self.example], own_v.unflatten(0, self.canvases)], 1),
            from_canvas,
        )
        return torch.cat(
            [causal, causal.new_zeros(self.filling, *causal.shape[1:]), canvas.flatten(0, 1)]
        )

    def _pad(self, rows: Tensor) -> Tensor:
        """[B, P, heads, D] with zeros behind shorter prefixes, where no query looks."""
        flat = rows.new_zeros(self.padded[0] * self.padded[1], *rows.shape[1:])
        return flat.index_copy(0, self.slots, rows).unflatten(0, self.padded)


def _masks(place: Tensor, batch: Batch, layer: LayerConfig) -> tuple[Tensor, Tensor]:
    """Additive masks: [P, P] for causal rows, [K, 1, 1, 1, P + C] for canvases."""
    distance = place[:, None] - place
    back = distance >= 0
    before = place < batch.start[:, None]
    if layer.window is not None and layer.canvas_window is not None:
        back = back & (distance < layer.window)
        before = before & (place >= batch.start[:, None] - layer.canvas_window)
    canvas = torch.cat([before, torch.ones_like(batch.answer)], 1)[:, None, None, None]
    return _additive(back), _additive(canvas)


def _blocks(place: Tensor, batch: Batch) -> Tensor:
    """[B, 1, 1, P, P] whether two places are in the same picture."""
    number = torch.full((len(batch.pictures), len(place)), -1, device=place.device)
    for example, pictures in enumerate(batch.pictures):
        for index, picture in enumerate(pictures):
            number[example, picture.start : picture.end] = index
    same = (number[:, :, None] == number[:, None]) & (number >= 0)[:, None]
    return same[:, None, None]


def attend_pictures(query: Tensor, key: Tensor, value: Tensor, lengths: Sequence[int]) -> Tensor:
    """The vision tower's attention: each picture sees itself, pictures of one length together."""
    parts = [x.split(list(lengths)) for x in (query, key, value)]
    output: list[Tensor] = [query] * len(lengths)
    for length in set(lengths):
        members = [i for i, other in enumerate(lengths) if other == length]
        q, k, v = (torch.stack([part[i] for i in members]) for part in parts)
        for i, attended in zip(members, _attend(q, k, v, q.new_zeros(())), strict=True):
            output[i] = attended
    return torch.cat(output)


def _additive(seen: Tensor) -> Tensor:
    return torch.zeros_like(seen, dtype=torch.float32).masked_fill(~seen, NEVER)


def _attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """[X, Q, N, D] queries over [X, S, G, D] keys; the mask spreads to [X, G, N / G, Q, S]."""
    groups, share = key.shape[2], query.shape[2] // key.shape[2]
    stacked = query.unflatten(2, (groups, share)).permute(0, 2, 3, 1, 4)
    shape = stacked.shape[2:4]
    scores = stacked.flatten(2, 3) @ key.permute(0, 2, 3, 1)
    weights = (scores.unflatten(2, shape) + mask.to(scores.dtype)).softmax(-1)
    output = weights.flatten(2, 3) @ value.transpose(1, 2)
    return output.unflatten(2, shape).permute(0, 3, 1, 2, 4).flatten(2, 3)
