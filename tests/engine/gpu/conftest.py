from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import interpreted as interpreted
import pytest
from pairs import Pair
from torch import nn

from palimpsest.engine.layers import Layer
from palimpsest.engine.loaded_model import LoadedModel


@pytest.fixture
def shallow(calm: Pair) -> LoadedModel:
    """Two layers of the calm checkpoint, a sliding one and the full one: interpreting takes long.
    No token ends an answer.
    """
    model = calm.ending_at()
    network = deepcopy(model.network)
    layers = [layer for layer in network.layers if isinstance(layer, Layer)]
    kept = [layers[0], layers[-1]]
    for index, layer in enumerate(kept):
        layer.config = layer.self_attn.layer = replace(layer.config, index=index)
    network.layers = nn.ModuleList(kept)
    network.config = replace(network.config, layers=tuple(layer.config for layer in kept))
    return replace(model, network=network)
