"""What the device that kernels are compiled for can do."""

from __future__ import annotations

import triton

from palimpsest.kernels.fused.rounding import INTERPRETED


def has_tma() -> bool:
    """Whether there is a copy engine for tensor descriptors: Hopper and later."""
    return INTERPRETED or triton.runtime.driver.active.get_current_target().arch >= 90
