"""Launches as a CUDA graph: hundreds of them in one call, nothing left to the host.

Inputs and outputs stay where they were when the launches were captured; who replays the graph
writes into them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch

WARM_UPS = 3
"""Runs before the capture, which compile kernels and settle the memory pool."""

Pool: TypeAlias = Any
"""Memory that graphs share of which one runs at a time, from torch.cuda.graph_pool_handle, whose
type has no public name.
"""


def graphed(launch: Callable[[], object], pool: Pool | None = None) -> Callable[[], None]:
    """The same launches, captured. Needs a CUDA device; without a pool they get memory of their
    own. Raises RuntimeError for what cannot be captured.
    """
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            launch()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool=pool):
        launch()
    return graph.replay
