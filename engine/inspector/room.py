"""How much of a checkpoint runs at once where: on this machine, or on a device of a given size."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import torch

from palimpsest.engine.config import ModelConfig
from palimpsest.engine.memory import longest_context, memory_of
from palimpsest.engine.options import EngineOptions

CANVASES = (1, 2, 4, 8, 16, 32, 64)
"""At once, that contexts are told for."""
_UNITS = {"": 10**9, "GB": 10**9, "GIB": 2**30, "MB": 10**6, "MIB": 2**20, "TB": 10**12}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a model would run."""

    name: str
    memory_bytes: int
    dtype: torch.dtype


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What fits there beside the weights."""

    place: Place
    weights_bytes: int
    contexts: dict[int, int]
    """Tokens of each context at most, by canvases at once; 0 where nothing fits."""


def memory_size(text: str) -> int:
    """Bytes of a size such as 24GB or 80GiB; a bare number is GB. Raises ValueError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip(), re.IGNORECASE)
    if match is None or match[2].upper() not in _UNITS or float(match[1]) == 0:
        raise ValueError(f"{text!r} is not a size such as 24GB or 80GiB")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def here() -> Place:
    """The first CUDA device of this machine, or its CPU, with the dtype that is usual there."""
    if torch.cuda.is_available():
        device = torch.device("cuda")
        name = torch.cuda.get_device_name(device)
        return Place(name=name, memory_bytes=memory_of(device), dtype=torch.bfloat16)
    return Place(name="this CPU", memory_bytes=memory_of(torch.device("cpu")), dtype=torch.float32)


def device_of(memory_bytes: int) -> Place:
    """A CUDA device that is not here."""
    name = "a CUDA device"
    return Place(name=name, memory_bytes=memory_bytes, dtype=torch.bfloat16)


def room_in(
    place: Place, config: ModelConfig, options: EngineOptions, *, weights_bytes: int
) -> Room:
    """With these settings, and what is usual for all others."""
    contexts = {
        count: longest_context(
            config,
            replace(options, max_num_seqs=count),
            weights=weights_bytes,
            dtype=place.dtype,
            memory=place.memory_bytes,
            fused=options.kernels == "fused",
        )
        for count in CANVASES
    }
    return Room(place=place, weights_bytes=weights_bytes, contexts=contexts)
