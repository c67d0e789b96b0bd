"""A case: one launch of a kernel beside its plain definition, and what it has to move and do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from palimpsest.kernels.fused.rounding import Rounded


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionKind:
    """What sliding and full layers differ in."""

    groups: int
    head: int
    shared: bool
    """Whether values are made of raw keys."""
    window: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """A model, and the pass that its kernels are tried in: one canvas behind a context."""

    hidden: int
    mlp_width: int
    heads: int
    sliding: AttentionKind
    full: AttentionKind
    experts: int
    experts_per_row: int
    expert_width: int
    vocabulary: int
    rows: int
    """Of one canvas."""
    context: int
    """Tokens before it."""
    softcap: float = 30.0
    epsilon: float = 1e-6


RELEASED = Sizes(
    hidden=2816,
    mlp_width=2112,
    heads=16,
    sliding=AttentionKind(groups=8, head=256, shared=False, window=1024),
    full=AttentionKind(groups=2, head=512, shared=True, window=None),
    experts=128,
    experts_per_row=8,
    expert_width=704,
    vocabulary=262_144,
    rows=256,
    context=1024,
)
TINY = Sizes(
    hidden=64,
    mlp_width=96,
    heads=4,
    sliding=AttentionKind(groups=2, head=16, shared=False, window=16),
    full=AttentionKind(groups=1, head=32, shared=True, window=None),
    experts=8,
    experts_per_row=2,
    expert_width=32,
    vocabulary=512,
    rows=64,
    context=128,
)
"""For a dry run in Triton's interpreter."""


class Make:
    """Makes inputs: the same ones from the same seed. On `meta` they have no numbers."""

    def __init__(self, device: torch.device, dtype: torch.dtype, *, seed: int = 0) -> None:
        self.device, self.dtype = device, dtype
        self._generator = None
        if device.type != "meta":
            self._generator = torch.Generator(device).manual_seed(seed)

    def floats(self, *shape: int) -> Tensor:
        """fp32, uniform in [0, 1)."""
        return torch.rand(shape, device=self.device, generator=self._generator)

    def numbers(self, *shape: int, scale: float = 1.0) -> Tensor:
        """Gaussian, in the dtype of activations."""
        made = torch.empty(shape, dtype=self.dtype, device=self.device)
        return made.normal_(0.0, scale, generator=self._generator)

    def rounded(self, *shape: int, quantised: bool, scale: float = 1.0) -> Rounded:
        return Rounded.of(self.numbers(*shape, scale=scale), quantised=quantised)

    def integers(self, *shape: int, below: int) -> Tensor:
        """int32, uniform."""
        made = torch.empty(shape, dtype=torch.int32, device=self.device)
        return made.random_(0, below, generator=self._generator)

    def listed(self, *numbers: int) -> Tensor:
        """These, in int32."""
        return torch.tensor(numbers, dtype=torch.int32, device=self.device)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One kernel, or few that belong together."""

    name: str
    inputs: Callable[[Make], Any]
    run: Callable[[Any], object]
    reference: Callable[[Any], object] | None
    """None where another case's reference covers the kernel."""
    bytes: int
    """That have to cross the memory bus at least once."""
    flops: int
    quantised: bool = False
    """Whether its products are of eight-bit numbers."""
    multiplies: bool = False
    """Whether it is a matrix product, and so has to run on the tensor cores."""
