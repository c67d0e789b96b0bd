"""What the card that kernels are compiled for can do."""

from __future__ import annotations

import triton

from palimpsest.kernels.fused.rounding import INTERPRETED


def has_tma() -> bool:
    """Whether a copy engine loads tiles by descriptor; elsewhere descriptors become slow code."""
    return INTERPRETED or triton.runtime.driver.active.get_current_target().arch >= 90
