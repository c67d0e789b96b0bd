"""Where the linear layers of a published quantised checkpoint stand in the network.

Quantised checkpoints hold every linear layer by itself, experts too, as
`experts.E.{gate,up,down}_proj`; the network holds all experts of a layer in two tensors, the rows
of the gate before those of the up projection.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Size

DECODER, ENCODER = "model.decoder.", "model.encoder.language_model."


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The part of one of the network's tensors that one linear layer is."""

    own: str
    """Name of the tensor in the network."""
    index: tuple[int | slice, ...]
    """Of the part within the tensor; empty where it is the whole."""
    shape: tuple[int, ...]


def linear_places(shapes: Mapping[str, Size]) -> dict[str, Place]:
    """By the linear layer's name below the prefix, for the network's own names and shapes."""
    found: dict[str, Place] = {}
    for own, shape in shapes.items():
        if own.endswith("experts.gate_up_proj"):
            found |= _experts(own, shape, {"gate_proj": 0, "up_proj": 1}, parts=2)
        elif own.endswith("experts.down_proj"):
            found |= _experts(own, shape, {"down_proj": 0}, parts=1)
        elif len(shape) == 2 and own != "embed_tokens.weight":
            found[own.removesuffix(".weight")] = Place(own=own, index=(), shape=tuple(shape))
    return found


def _experts(own: str, shape: Size, order: Mapping[str, int], *, parts: int) -> dict[str, Place]:
    """The projections in `order`, each an equal part of the rows of every expert."""
    stem = own.rpartition(".")[0]
    experts, rows, columns = shape[0], shape[1] // parts, shape[2]
    return {
        f"{stem}.{expert}.{name}": Place(
            own=own,
            index=(expert, slice(part * rows, (part + 1) * rows)),
            shape=(rows, columns),
        )
        for expert in range(experts)
        for name, part in order.items()
    }
