"""Numbers for the device, side by side in memory, so that one copy brings them all there."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

_ALIGNMENT = 16
"""Bytes; kernels read by 16 where addresses allow it."""


class Packed:
    """Named rows of numbers: `here` to write to, `there` for the device to read. All zeros."""

    def __init__(
        self, fields: Mapping[str, tuple[torch.dtype, int]], *, device: torch.device
    ) -> None:
        self._begins, end = {}, 0
        for name, (dtype, count) in fields.items():
            self._begins[name] = end
            end += -(-dtype.itemsize * count // _ALIGNMENT) * _ALIGNMENT
        self._here = torch.zeros(end, dtype=torch.uint8, pin_memory=device.type == "cuda")
        self._there = torch.zeros(end, dtype=torch.uint8, device=device)
        self.here: dict[str, np.ndarray] = {}
        self.there: dict[str, Tensor] = {}
        for name, (dtype, count) in fields.items():
            part = slice(self._begins[name], self._begins[name] + dtype.itemsize * count)
            self.here[name] = self._here[part].view(dtype).numpy()
            self.there[name] = self._there[part].view(dtype)

    def send(self, last: str, count: int) -> None:
        """All fields before `last`, and its first `count` numbers. Must not be written to before
        the device has come so far.
        """
        end = self._begins[last] + self.here[last].itemsize * count
        self._there[:end].copy_(self._here[:end], non_blocking=True)
