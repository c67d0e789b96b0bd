"""Segments: the unit the model runs. A pass is any mixture of prefills, commits and canvases.

A segment is a range of tokens of one sequence, causal (it writes the keys and values that stay) or
bidirectional (a canvas: it sees the prefix and itself and leaves nothing behind). Segments of one
sequence may share a pass: a later one sees what an earlier one writes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from palimpsest.engine.cache import KeyValues
from palimpsest.engine.config import LayerConfig
from palimpsest.engine.model import DiffusionGemma, PictureRows, Rows
from palimpsest.engine.pages import first_seen
from palimpsest.engine.shapes import Hidden, Keys, Queries, Shown, SoftEmbedding, TokenIds
from palimpsest.kernels.attention import attention


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureSegment:
    """Positions of a segment that show a picture, all of it: they see each other."""

    start: int
    end: int
    embeddings: Shown
    """What they enter as."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Tokens at absolute positions `start` onwards; segments of one sequence come in order."""

    cache: KeyValues
    token_ids: TokenIds
    start: int
    causal: bool
    pictures: tuple[PictureSegment, ...] = ()
    """Of a causal segment, in order."""
    soft_embedding: SoftEmbedding | None = None
    """Self-conditioning of a canvas; None at its first step and for causal segments."""

    @property
    def end(self) -> int:
        return self.start + len(self.token_ids)


def run_segments(
    model: DiffusionGemma, segments: list[Segment], *, expert_row_multiple: int = 1
) -> list[Hidden]:
    """Final hidden states of each segment, after one pass over all of them."""
    lengths = [len(segment.token_ids) for segment in segments]
    device = segments[0].token_ids.device
    canvas = torch.tensor([not segment.causal for segment in segments], device=device)
    rows = Rows(
        token_ids=torch.cat([segment.token_ids for segment in segments]),
        positions=torch.cat([torch.arange(s.start, s.end, device=device) for s in segments]),
        on_canvas=canvas.repeat_interleave(torch.tensor(lengths, device=device)),
        soft_embedding=_soft_embeddings(model, segments),
        pictures=_picture_rows(segments),
        expert_row_multiple=expert_row_multiple,
    )
    return list(model(rows, SegmentAttention(segments)).split(lengths))


def _picture_rows(segments: list[Segment]) -> PictureRows | None:
    """The rows of the pass that show pictures."""
    if not any(segment.pictures for segment in segments):
        return None
    masks = []
    for segment in segments:
        mask = torch.zeros(len(segment.token_ids), dtype=torch.bool)
        for picture in segment.pictures:
            mask[picture.start - segment.start : picture.end - segment.start] = True
        masks.append(mask)
    embeddings = [picture.embeddings for segment in segments for picture in segment.pictures]
    rows = torch.cat(masks).to(segments[0].token_ids.device)
    return PictureRows(rows=rows, embeddings=torch.cat(embeddings))


def _soft_embeddings(model: DiffusionGemma, segments: list[Segment]) -> Tensor | None:
    canvases = [segment for segment in segments if not segment.causal]
    if all(segment.soft_embedding is None for segment in canvases):
        return None
    weight = model.embed_tokens.weight
    return torch.cat(
        [
            weight.new_zeros(len(s.token_ids), weight.shape[1])
            if s.soft_embedding is None
            else s.soft_embedding
            for s in canvases
        ]
    )


class SegmentAttention:
    """Attention of one pass, segment by segment, over each sequence's own cache."""

    def __init__(self, segments: list[Segment]) -> None:
        self.segments = segments
        self.lengths = [len(segment.token_ids) for segment in segments]
        self.masks: dict[tuple[int, int | None], Tensor] = {}

    def __call__(self, layer: LayerConfig, *, query: Queries, key: Keys, value: Keys) -> Queries:
        parts = zip(*(rows.split(self.lengths) for rows in (query, key, value)), strict=True)
        return torch.cat([self._attend(i, layer, *part) for i, part in enumerate(parts)])

    def _attend(
        self, index: int, layer: LayerConfig, query: Tensor, key: Tensor, value: Tensor
    ) -> Tensor:
        segment = self.segments[index]
        # all queries of a canvas see the same positions before it, as in the reference
        first = first_seen(layer.window, segment.start)
        if segment.causal:
            segment.cache.write(layer, segment.start, key, value)
            keys, values = segment.cache.read(layer, first, segment.end)
            mask = self._causal_mask(index, layer, first)
            return attention(query=query, key=keys, value=values, mask=mask)
        prefix = segment.cache.read(layer, first, segment.start)
        keys, values = (torch.cat(pair) for pair in zip(prefix, (key, value), strict=True))
        return attention(query=query, key=keys, value=values, mask=None)

    def _causal_mask(self, index: int, layer: LayerConfig, first: int) -> Tensor:
        """Made once per segment and window, used by every layer of that kind."""
        name = (index, layer.window)
        if name not in self.masks:
            segment = self.segments[index]
            device = segment.token_ids.device
            queries = torch.arange(segment.start, segment.end, device=device)
            distance = queries[:, None] - torch.arange(first, segment.end, device=device)
            seen = distance >= 0
            if layer.window is not None:
                seen &= distance < layer.window
            for picture in segment.pictures:
                rows = slice(picture.start - segment.start, picture.end - segment.start)
                seen[rows, picture.start - first : picture.end - first] = True
            self.masks[name] = seen
        return self.masks[name]
