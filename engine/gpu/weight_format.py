"""What the fused kernels keep large matrices in, and so what they multiply."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Literal

from torch import Tensor

from palimpsest.kernels.lowbit import LowBit


class WeightFormat(Enum):
    """By bits of weights and of activations; experts, which are nine tenths of the weights, may
    have fewer than the rest.
    """

    PLAIN = "plain"
    """As they come."""
    W8A8 = "w8a8"
    W6A8 = "w6a8"
    W4A8 = "w4a8"

    @classmethod
    def of(cls, scales: Mapping[str, Tensor], low_bit: Mapping[str, LowBit]) -> WeightFormat:
        """What weights are in that have some `scales` and are partly in few bits."""
        for experts in low_bit.values():
            return cls.W4A8 if experts.bits == 4 else cls.W6A8
        return cls.W8A8 if scales else cls.PLAIN

    @property
    def quantised(self) -> bool:
        """Whether activations and all large matrices but experts are in eight bits."""
        return self is not WeightFormat.PLAIN

    @property
    def expert_bits(self) -> Literal[4, 6, 8] | None:
        """Of experts' weights; None: as they come."""
        match self:
            case WeightFormat.PLAIN:
                return None
            case WeightFormat.W8A8:
                return 8
            case WeightFormat.W6A8:
                return 6
            case WeightFormat.W4A8:
                return 4
