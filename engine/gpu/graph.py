"""One pass as a CUDA graph: hundreds of launches in one call, nothing left to the host.

Inputs and outputs stay where they were when the pass was captured; who replays it writes into
them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from palimpsest.engine.gpu.layout import PassLayout
from palimpsest.engine.gpu.network import FusedNetwork
from palimpsest.engine.gpu.sampler import CanvasBatch, StepReading, step

WARM_UPS = 3
"""Runs before the capture, which compile kernels and settle the memory pool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DenoisingPass:
    """A pass over rows laid out once, with a step of the canvases among them."""

    network: FusedNetwork
    layout: PassLayout
    batch: CanvasBatch

    def run(self) -> StepReading:
        hidden = self.network.forward(self.layout, self.batch.soft_embedding)
        return step(
            self.batch,
            hidden,
            embedding=self.network.weights.embedding,
            embedding_scale=self.network.embedding_scale,
            softcap=self.network.config.logit_softcap,
        )


class GraphedPass:
    """The same, captured. Needs a CUDA device."""

    def __init__(self, plain: DenoisingPass) -> None:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                plain.run()
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._reading = plain.run()

    def run(self) -> StepReading:
        """The reading is overwritten by the next run."""
        self._graph.replay()
        return self._reading
