"""Layers as compiled code, for long runs: fewer passes over memory between the matrix products.

Needs a C++ compiler on a CPU, and a minute at the start; results differ in rounding.
"""

from __future__ import annotations

from typing import Any, cast

import torch

from palimpsest.engine.layers import Layer
from palimpsest.engine.model import DiffusionGemma

VARIANTS = 64
"""Of one piece of code: layers differ in window, heads and sizes, passes in whether they learn."""


def compile_layers(model: DiffusionGemma) -> None:
    """Makes all but attention and the experts' row counts part of compiled code."""
    torch._dynamo.config.recompile_limit = VARIANTS
    for layer in model.layers:
        assert isinstance(layer, Layer)
        # sizes that depend on values would be compiled one by one
        layer.mix = cast(Any, torch.compiler.disable(layer.mix))
        layer.router.forward = torch.compile(layer.router.forward, dynamic=True)
        layer.forward = torch.compile(layer.forward, dynamic=True)
