"""Where the linear layers of a published quantised checkpoint stand in the network.

Quantised checkpoints hold every linear layer by itself, experts too, as
`experts.E.{gate,up,down}_proj`; the network holds all experts of a layer in two tensors, the rows
of the gate before those of the up projection. Our own low-bit layout has a gate and its up
projection as one, `experts.E.gate_up_proj`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Size

DECODER, ENCODER = "model.decoder.", "model.encoder.language_model."
SEEING = "model.encoder."
"""Before the names of vision tower and projector."""
_VISION = "vision."
"""Before the network's own names of them."""
_PROJECTION = re.compile(r"(vision\.vision_tower\.encoder\..*_proj)\.weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The part of one of the network's tensors that one linear layer is."""

    own: str
    """Name of the tensor in the network."""
    expert: int | None = None
    """Whose it is; None where it is the whole tensor."""
    start: int = 0
    """The first of its rows among the expert's."""
    shape: tuple[int, ...]

    @property
    def index(self) -> tuple[int | slice, ...]:
        """Of the part within the tensor; empty where it is the whole."""
        if self.expert is None:
            return ()
        return self.expert, slice(self.start, self.start + self.shape[0])


def published_name(own: str) -> str:
    """The usual name in a file of what the network calls `own`."""
    if own.startswith(_VISION):
        return SEEING + _PROJECTION.sub(r"\1.linear.weight", own).removeprefix(_VISION)
    if own.endswith("encoder_layer_scalar"):
        return ENCODER + own.replace("encoder_layer_scalar", "layer_scalar")
    return DECODER + own


def spellings(own: str) -> tuple[str, ...]:
    """All published names of what is `own` in the network, the usual one first."""
    usual = published_name(own)
    if own.startswith(_VISION):
        return (usual,)
    if own.endswith("encoder_layer_scalar"):
        # one set of layer scalars serves both modes
        return usual, usual.replace(ENCODER, DECODER)
    if own.endswith("layer_scalar"):
        return (usual,)
    return usual, ENCODER + own


def linear_places(shapes: Mapping[str, Size], *, joined: bool = False) -> dict[str, Place]:
    """By the linear layer's name below the prefix, for the network's own names and shapes; with
    the gate and up projection of an expert `joined` or not. Those of the vision tower are never
    quantised.
    """
    found: dict[str, Place] = {}
    for own, shape in shapes.items():
        if own.startswith(_VISION):
            continue
        if own.endswith("experts.gate_up_proj"):
            names = ("gate_up_proj",) if joined else ("gate_proj", "up_proj")
            found |= _experts(own, shape, names)
        elif own.endswith("experts.down_proj"):
            found |= _experts(own, shape, ("down_proj",))
        elif len(shape) == 2 and own != "embed_tokens.weight":
            found[own.removesuffix(".weight")] = Place(own=own, shape=tuple(shape))
    return found


def _experts(own: str, shape: Size, names: tuple[str, ...]) -> dict[str, Place]:
    """Of every expert the projections of these names, which have equal parts of its rows."""
    stem = own.rpartition(".")[0]
    rows, columns = shape[1] // len(names), shape[2]
    return {
        f"{stem}.{expert}.{name}": Place(
            own=own, expert=expert, start=part * rows, shape=(rows, columns)
        )
        for expert in range(shape[0])
        for part, name in enumerate(names)
    }
