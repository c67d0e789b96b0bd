"""Canvases as the device keeps them between steps, so that nothing of them travels but results.

`CanvasStore` is the memory: places of one canvas each, and one more that is nobody's, for passes
with room for more canvases than there are. `Seats` knows whose canvas is where.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from palimpsest.engine.diffusion import CanvasState
from palimpsest.engine.shapes import SoftEmbedding
from palimpsest.kernels.fused.settle import CanvasProgress


class CanvasStore:
    """`places` canvases of up to C tokens, and what their last step told each."""

    def __init__(
        self, places: int, *, length: int, width: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        def kept(*shape: int, dtype: torch.dtype = torch.int32) -> Tensor:
            return torch.zeros(places + 1, *shape, dtype=dtype, device=device)

        self.nobodys = places
        self.tokens, self.drafts, self.unchanged_steps = kept(length), kept(length), kept()
        self.soft_embeddings = kept(length, width, dtype=dtype)

    def taken(self, places: Tensor, step: Tensor) -> tuple[CanvasProgress, SoftEmbedding]:
        """Copies of the canvases at `places` [B], which have done `step` [B] steps, and their
        rows [B · C, H].
        """
        progress = CanvasProgress(
            tokens=self.tokens.index_select(0, places),
            draft=self.drafts.index_select(0, places),
            unchanged_steps=self.unchanged_steps.index_select(0, places),
            step=step,
        )
        return progress, self.soft_embeddings.index_select(0, places).flatten(0, 1)

    def put(self, places: Tensor, progress: CanvasProgress, soft: SoftEmbedding) -> None:
        """Puts them back."""
        self.tokens.index_copy_(0, places, progress.tokens)
        self.drafts.index_copy_(0, places, progress.draft)
        self.unchanged_steps.index_copy_(0, places, progress.unchanged_steps)
        rows = soft.view(-1, *self.soft_embeddings.shape[1:])
        self.soft_embeddings.index_copy_(0, places, rows)

    def move_in(self, place: int, canvas: CanvasState) -> None:
        length = len(canvas.token_ids)
        self.tokens[place, :length] = canvas.token_ids
        self.drafts[place, :length] = -1 if canvas.draft is None else canvas.draft
        self.unchanged_steps[place] = canvas.unchanged_steps
        soft = canvas.soft_embedding
        self.soft_embeddings[place, :length] = 0.0 if soft is None else soft

    def move_out(self, place: int, canvas: CanvasState) -> None:
        """The other way."""
        length = len(canvas.token_ids)
        canvas.token_ids = self.tokens[place, :length].long()
        canvas.draft = self.drafts[place, :length].long()
        canvas.unchanged_steps = int(self.unchanged_steps[place])
        canvas.soft_embedding = self.soft_embeddings[place, :length].clone()


class Seats:
    """Whose canvas is at which place of a store."""

    def __init__(self, store: CanvasStore) -> None:
        self.store = store
        self._taken: dict[int, tuple[int, CanvasState]] = {}
        self._free = list(range(store.nobodys))

    def seat(self, running: Sequence[int], canvases: Mapping[int, CanvasState | None]) -> list[int]:
        """Places of the canvases of the requests `running`, who are at most as many as the places.
        `canvases` are those of all requests: others may have to move out.
        """
        for request in [request for request in self._taken if request not in canvases]:
            self.leave(request)
        return [self._seated(request, canvases[request], running) for request in running]

    def leave(self, request: int) -> None:
        """Its place is free; what is there counts no more."""
        place, _ = self._taken.pop(request)
        self._free.append(place)

    def _seated(self, request: int, canvas: CanvasState | None, running: Sequence[int]) -> int:
        assert canvas is not None, "the engine begins canvases before the pass"
        place, known = self._taken.get(request, (None, None))
        if place is None:
            place = self._free.pop() if self._free else self._vacated(running)
        if known is not canvas:
            self.store.move_in(place, canvas)
        self._taken[request] = place, canvas
        return place

    def _vacated(self, running: Sequence[int]) -> int:
        """The place of somebody who waits."""
        waiting = next(request for request in self._taken if request not in running)
        place, canvas = self._taken.pop(waiting)
        if canvas.draft is not None:
            self.store.move_out(place, canvas)
        return place
