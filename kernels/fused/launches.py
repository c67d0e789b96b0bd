"""One launch of every kernel with the sizes of the released model, to compile or to time it.

Tensors are made on the given device: `meta` is enough to compile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from palimpsest.kernels.fused.after_attention import MlpNorms, after_attention
from palimpsest.kernels.fused.after_experts import LayerEnd, MlpOutputs, after_experts
from palimpsest.kernels.fused.expert_down import expert_down
from palimpsest.kernels.fused.expert_gate_up import expert_gate_up
from palimpsest.kernels.fused.expert_rows import ExpertRows, expert_rows
from palimpsest.kernels.fused.expert_tiles import Grouped
from palimpsest.kernels.fused.rounding import Rounded
from palimpsest.kernels.fused.routing import routing

HIDDEN = 2816
ROWS = 256
"""Of one canvas."""
EPSILON = 1e-6
EXPERTS = 128
EXPERTS_PER_ROW = 8
EXPERT_WIDTH = 704


class Launches:
    """Launches by name, each a call without arguments."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def all(self) -> Mapping[str, Callable[[], object]]:
        return {
            "after_attention e4m3": lambda: self.after_attention(quantised=True),
            "after_attention bf16": lambda: self.after_attention(quantised=False),
            "routing bf16": self.routing,
            "expert_rows": self.expert_rows,
            **{
                f"{name} {dtype} {rows}": partial(launch, rows, quantised=dtype == "e4m3")
                for name, launch in (
                    ("expert_gate_up", self.expert_gate_up),
                    ("expert_down", self.expert_down),
                )
                for dtype in ("e4m3", "bf16")
                for rows in (ROWS, 4 * ROWS, 16 * ROWS)
            },
            "after_experts e4m3": lambda: self.after_experts(quantised=True),
            "after_experts bf16": lambda: self.after_experts(quantised=False),
        }

    def after_attention(self, *, quantised: bool) -> object:
        post, dense, experts, router = (self._numbers(HIDDEN) for _ in range(4))
        norms = MlpNorms(
            after_attention=post, dense=dense, experts=experts, router=router, epsilon=EPSILON
        )
        stream, attended = self._numbers(ROWS, HIDDEN), self._numbers(ROWS, HIDDEN)
        return after_attention(stream, attended, norms, quantised=quantised)

    def routing(self) -> object:
        return routing(
            self._numbers(ROWS, HIDDEN),
            projection=self._numbers(EXPERTS, HIDDEN),
            per_expert_scale=self._numbers(EXPERTS),
            experts_per_row=EXPERTS_PER_ROW,
        )

    def expert_rows(self) -> object:
        ids = torch.zeros((ROWS, EXPERTS_PER_ROW), dtype=torch.int32, device=self.device)
        alive = torch.ones(ROWS, dtype=torch.bool, device=self.device)
        return expert_rows(ids, alive=alive, num_experts=EXPERTS)

    def expert_gate_up(self, rows: int, *, quantised: bool) -> object:
        return expert_gate_up(
            self._stored(rows, HIDDEN, quantised=quantised),
            self._stored(EXPERTS, 2 * EXPERT_WIDTH, HIDDEN, quantised=quantised),
            lists=self._lists(rows),
            experts_per_row=EXPERTS_PER_ROW,
        )

    def expert_down(self, rows: int, *, quantised: bool) -> object:
        made = self._numbers(rows * EXPERTS_PER_ROW, EXPERT_WIDTH)
        return expert_down(
            Grouped.of(made, quantised=quantised),
            self._stored(EXPERTS, HIDDEN, EXPERT_WIDTH, quantised=quantised),
            lists=self._lists(rows),
            dtype=torch.bfloat16,
        )

    def after_experts(self, *, quantised: bool) -> object:
        dense, experts, after_mlps, following = (self._numbers(HIDDEN) for _ in range(4))
        mlps = MlpOutputs(
            dense=self._numbers(ROWS, HIDDEN),
            experts=self._numbers(ROWS * EXPERTS_PER_ROW, HIDDEN),
            weights=self._numbers(ROWS, EXPERTS_PER_ROW).float(),
        )
        end = LayerEnd(
            dense=dense,
            experts=experts,
            after_mlps=after_mlps,
            following=following,
            canvas_scalar=self._numbers(1),
            other_scalar=self._numbers(1),
            epsilon=EPSILON,
        )
        on_canvas = torch.ones(ROWS, dtype=torch.bool, device=self.device)
        stream = self._numbers(ROWS, HIDDEN)
        return after_experts(stream, mlps, end, on_canvas=on_canvas, quantised=quantised)

    def _lists(self, rows: int) -> ExpertRows:
        ids = torch.rand(rows, EXPERTS, device=self.device).topk(EXPERTS_PER_ROW).indices.int()
        if self.device.type == "meta":
            return ExpertRows(indices=ids.new_empty(EXPERTS, rows), counts=ids.new_empty(EXPERTS))
        return expert_rows(ids, num_experts=EXPERTS)

    def _stored(self, *shape: int, quantised: bool) -> Rounded:
        return Rounded.of(self._numbers(*shape), quantised=quantised)

    def _numbers(self, *shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.bfloat16, device=self.device)
