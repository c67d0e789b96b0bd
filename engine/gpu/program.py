"""A pass over a fixed number of rows and canvases: numbers in, one launch, numbers out.

What is where changes from pass to pass, the launches do not. On a CUDA device they are one graph;
elsewhere they run as they are written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch

from palimpsest.engine.gpu.canvases import (
    Stepping,
    batch_of,
    canvas_fields,
    copy_reading,
    empty_reading,
    write_canvases,
)
from palimpsest.engine.gpu.clock import DeviceClock
from palimpsest.engine.gpu.layout import Part, PassShape, fields, lay_out, layout_of, padded
from palimpsest.engine.gpu.network import FusedNetwork
from palimpsest.engine.gpu.packed import Packed
from palimpsest.engine.gpu.sampler import CanvasBatch, StepReading, step
from palimpsest.engine.gpu.store import CanvasStore
from palimpsest.engine.memory import CANVASES_AT_ONCE
from palimpsest.engine.shapes import Hidden, Shown
from palimpsest.kernels.graph import Pool, graphed


class PassProgram:
    """Made once for a shape; `shown` has room for the rows of pictures, which passes may share;
    `pool` is given where there are graphs.
    """

    def __init__(
        self,
        network: FusedNetwork,
        store: CanvasStore,
        shape: PassShape,
        *,
        shown: Shown,
        context_tokens: int,
        pool: Pool | None,
    ) -> None:
        self.network, self.store, self.shape, self._shown = network, store, shape, shown
        self.windows = network.windows
        device = network.weights.embedding.device
        of_layout = fields(shape, self.windows, context_tokens=context_tokens)
        self._packed = Packed(canvas_fields(shape.canvases) | of_layout, device=device)
        self._layout = layout_of(self._packed.there, self.windows)
        self._reading = empty_reading(
            shape.canvases, shape.canvas_length, pinned=device.type == "cuda"
        )
        self._clock = DeviceClock(device)
        self.device_ns: int | None = None
        """Of the last run, on the device; None where it is not measured."""
        self._hidden: Hidden | None = None
        self._parts: list[Part] = []
        self._used = self._lay_out()
        write_canvases([], self._packed.here, nobodys=store.nobodys)
        self._packed.send(*self._used)
        self._launch: Callable[[], None] = self._run if pool is None else graphed(self._run, pool)

    def run(
        self,
        parts: Sequence[Part],
        stepping: Sequence[Stepping],
        embeddings: Mapping[bytes, Shown] = MappingProxyType({}),
    ) -> StepReading:
        """A pass over `parts`, whose canvases are `stepping`, in this order, and whose pictures
        have these `embeddings`.

        The next run overwrites what is returned.
        """
        write_canvases(stepping, self._packed.here, nobodys=self.store.nobodys)
        if parts != self._parts:  # from step to step they mostly are the same
            self._parts = list(parts)
            self._used = self._lay_out()
        self._packed.send(*self._used)
        self._show([embeddings[part.shows] for part in parts if part.shows is not None])
        with self._clock.around():
            self._launch()
        if self.network.weights.embedding.is_cuda:
            torch.cuda.current_stream().synchronize()
        self.device_ns = self._clock.elapsed_ns()
        return self._reading

    def hidden_rows(self, parts: Sequence[Part]) -> list[Hidden]:
        """Final hidden states of each canvas in the last run, which was over `parts`."""
        assert self._hidden is not None, "nothing was run"
        first, rows = 0, []
        for part in parts:
            if part.token_ids is None:
                rows.append(self._hidden[first : first + part.length])
            first += padded(part.length)
        return rows

    def _show(self, pictures: Sequence[Shown]) -> None:
        first = 0
        for rows in pictures:
            self._shown[first : first + len(rows)] = rows
            first += len(rows)

    def _lay_out(self) -> tuple[str, int]:
        length = self.shape.canvas_length
        return lay_out(self._parts, self._packed.here, self.windows, canvas_length=length)

    def _run(self) -> None:
        network, layout = self.network, self._layout
        batch = batch_of(self._packed.there, self.store)
        self._hidden = network.forward(
            layout, batch.progress.tokens.flatten(), batch.soft_embedding, self._shown
        )
        hidden = self._hidden.index_select(0, layout.rows_of_canvases)
        for first in range(0, self.shape.canvases, CANVASES_AT_ONCE):
            self._step(batch.part(first, first + CANVASES_AT_ONCE), hidden, first)
        self.store.put(self._packed.there["place"], batch.progress, batch.soft_embedding)

    def _step(self, part: CanvasBatch, hidden: Hidden, first: int) -> None:
        """Of the canvases from `first` on."""
        row, rows = first * self.shape.canvas_length, len(part.soft_embedding)
        reading = step(
            part,
            hidden[row : row + rows],
            embedding=self.network.weights.embedding,
            coded=self.network.weights.head,
            embedding_scale=self.network.embedding_scale,
            softcap=self.network.config.logit_softcap,
        )
        copy_reading(reading, self._reading, first=first)
