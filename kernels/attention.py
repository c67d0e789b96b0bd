"""Grouped-query attention of one segment: softmax(q kᵀ + mask) v with scale 1.0, not 1/√D.

Query heads that share a key/value head are stacked along the row axis, so keys and values are read
once. 4 · T · M · N · D FLOPs; reads M · G · 2D elements of cache.
"""

from __future__ import annotations

import torch

from palimpsest.kernels.shapes import AttentionMask, Keys, Queries


def attention(*, query: Queries, key: Keys, value: Keys, mask: AttentionMask | None) -> Queries:
    """Attends T queries to M keys. `mask` is True where a query may look, None everywhere."""
    rows, heads, width = query.shape
    groups = key.shape[1]
    share = heads // groups
    stacked = query.view(rows, groups, share, width).permute(1, 2, 0, 3)
    stacked = stacked.reshape(1, groups, share * rows, width)
    output = torch.nn.functional.scaled_dot_product_attention(
        stacked,
        key.transpose(0, 1)[None],
        value.transpose(0, 1)[None],
        attn_mask=None if mask is None else mask.repeat(share, 1)[None, None],
        scale=1.0,
    )
    return output.view(groups, share, rows, width).permute(2, 0, 1, 3).reshape(rows, heads, width)
