"""A checkpoint's weights by what they are for: how many, and how many bytes in the files and in
memory.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from palimpsest.engine.quantised.reading import kept_tensors
from palimpsest.engine.weights import Contents

OTHER = "copies and other"
GROUPS: Mapping[str, re.Pattern[str]] = {
    "experts": re.compile(r"layers\.\d+\.experts\..*"),
    "attention": re.compile(r"layers\.\d+\.self_attn\..*_proj\..*"),
    "dense MLP": re.compile(r"layers\.\d+\.mlp\..*"),
    "router": re.compile(r"layers\.\d+\.router\..*"),
    "embedding": re.compile(r"embed_tokens\..*"),
    "self-conditioning": re.compile(r"self_conditioning\..*"),
    "norms and scalars": re.compile(r"norm\..*|layers\..*(norm|norm_2|norm_1|scalar)(\..*)?"),
    "vision": re.compile(r"(vision|model\.encoder\.(vision_tower|embed_vision))\..*"),
}
"""By the network's own names, and by published names where the network does not have them."""


@dataclass(slots=True)
class Group:
    """Sums over tensors."""

    parameters: int = 0
    file_bytes: int = 0
    memory_bytes: int = 0
    """As it is served."""


def groups_of(contents: Contents, dtype: torch.dtype, *, keep_codes: bool) -> dict[str, Group]:
    """Of all tensors in the files, the largest group first."""
    files, pieces = contents.entries, contents.pieces
    kept = kept_tensors(pieces) if keep_codes else {}
    found: dict[str, Group] = {}
    counted: set[str] = set()
    for piece in pieces:
        group = found.setdefault(_name(piece.place.own), Group())
        size = math.prod(piece.place.shape)
        group.parameters += size
        group.memory_bytes += round(size * kept.get(piece.place.own, dtype.itemsize))
        group.file_bytes += sum(
            files[n].num_bytes for n in piece.parts.values() if n not in counted
        )
        counted.update(piece.parts.values())
    for name in files.keys() - counted:
        group = found.setdefault(_name(name), Group())
        group.file_bytes += files[name].num_bytes
        if _name(name) != OTHER:
            group.parameters += files[name].elements
            group.memory_bytes += files[name].elements * dtype.itemsize
    return dict(sorted(found.items(), key=lambda item: -item[1].file_bytes))


def _name(tensor: str) -> str:
    return next((name for name, pattern in GROUPS.items() if pattern.fullmatch(tensor)), OTHER)
