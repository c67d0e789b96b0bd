"""Launches that are set up while the one before still runs: programmatic dependent launch of Hopper
and later (CUDA programming guide, "Programmatic dependent launch and synchronization").

Between two kernels of a graph nothing runs for about a microsecond, and a pass has some 370 of
them. Within `overlapping`, programs of a launch take their places once all of the launch before
have begun, and wait in `in_turn`, the first thing that every kernel does, until that one has ended
and what it wrote is there. It has waited in the same way, so all before it have ended too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait
from triton.language.target_info import cuda_capability_geq

from palimpsest.kernels.fused.rounding import INTERPRETED
from palimpsest.kernels.fused.target import has_tma

_COMPILED = tl.constexpr(not INTERPRETED)
_overlapping: ContextVar[bool] = ContextVar("overlapping", default=False)


@contextmanager
def overlapping() -> Iterator[None]:
    """What is launched, or captured, in here may come early, where there is such a thing."""
    token = _overlapping.set(True)
    try:
        yield
    finally:
        _overlapping.reset(token)


def how_to_launch() -> dict[str, bool]:
    """What every launch is given besides its own."""
    early = _overlapping.get() and not INTERPRETED and has_tma()
    return {"launch_pdl": True} if early else {}


@triton.jit
def in_turn():
    """Lets the next launch take its place, and waits for those before."""
    if _COMPILED and cuda_capability_geq(9, 0):
        gdc_launch_dependents()
        gdc_wait()
