"""A model ready to run, as loading hands it to the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from palimpsest.engine.capacity import Capacity
from palimpsest.engine.model import DiffusionGemma
from palimpsest.engine.sequence import Limits
from palimpsest.engine.structure.vocabulary import Vocabulary
from palimpsest.kernels.lowbit import LowBit


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A network ready to run, the limits it is served with, and how much of it runs at once."""

    network: DiffusionGemma
    limits: Limits
    device: torch.device
    capacity: Capacity
    fused: bool = False
    """Whether the fused kernels run it."""
    fp8_head: bool = False
    """Whether those read logits off the embedding in e4m3."""
    scales: Mapping[str, Tensor] = field(default_factory=dict)
    """Of the matrices of `network` that are e4m3, by their names: one for each row. Fused kernels
    alone can run those.
    """
    low_bit: Mapping[str, LowBit] = field(default_factory=dict)
    """Experts in few bits, by the names that `network` has for them without having them."""
    vocabulary: Vocabulary = field(default_factory=lambda: Vocabulary({}))
    """Read where answers have to be of a form."""

    @property
    def dtype(self) -> torch.dtype:
        """Of weights, activations and cache."""
        return self.network.embed_tokens.weight.dtype
