"""What the GPU that kernels are compiled for has."""

from __future__ import annotations

import triton

from palimpsest.kernels.fused.rounding import INTERPRETED


def has_tma() -> bool:
    """Whether there is a copy engine that reads tiles by descriptors: from Hopper on."""
    return INTERPRETED or triton.runtime.driver.active.get_current_target().arch >= 90
