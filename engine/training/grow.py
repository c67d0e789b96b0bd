"""A trained network inside a deeper one: layers that it lacks begin as the identity."""

from __future__ import annotations

from torch import Tensor

from palimpsest.engine.model import DiffusionGemma

_OUTPUT_NORMS = ("post_attention_layernorm.weight", "post_feedforward_layernorm.weight")


def grown(small: DiffusionGemma, large: DiffusionGemma) -> dict[str, Tensor]:
    """Weights of `large` that give what `small` gives.

    Layers of `small` keep their order and are matched to the next one of their kind; all others get
    output norms of zero, so that the residual stream passes through. Raises ValueError if a layer
    finds no place.
    """
    places = _places(small, large)
    weights = {name: tensor.clone() for name, tensor in large.state_dict().items()}
    for name, tensor in small.state_dict().items():
        weights[_renamed(name, places)].copy_(tensor)
    for index in set(range(len(large.layers))) - set(places):
        for norm in _OUTPUT_NORMS:
            weights[f"layers.{index}.{norm}"].zero_()
    return weights


def _places(small: DiffusionGemma, large: DiffusionGemma) -> list[int]:
    """The index in `large` of each layer of `small`."""
    places: list[int] = []
    for index, layer in enumerate(large.config.layers):
        rest = small.config.layers[len(places) :]
        if rest and rest[0].window == layer.window:
            places.append(index)
    if len(places) < len(small.config.layers):
        raise ValueError(f"layer {len(places)} of the smaller network finds no place of its kind")
    return places


def _renamed(name: str, places: list[int]) -> str:
    if not name.startswith("layers."):
        return name
    _, index, rest = name.split(".", 2)
    return f"layers.{places[int(index)]}.{rest}"
