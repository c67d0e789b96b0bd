"""Mixture of experts: Σ_k w_k · down[e_k]( gelu_tanh(gate) ⊙ up ), [gate ; up] = gate_up[e_k] x.

Rows are sorted by expert, each expert runs one GEMM over its slice, and the K results of a row are
summed in fp32 in the order of `experts` (best first), so the order of a row's sum does not depend
on its neighbours' routing. 6 · T · K · H · I FLOPs; reads each hit expert's 3 · H · I weights once.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from palimpsest.kernels.shapes import ExpertIds, ExpertWeights, Hidden

GateUp = Float[Tensor, "E gate_and_up H"]
Down = Float[Tensor, "E H I"]


def mixture_of_experts(
    x: Hidden,
    *,
    weights: ExpertWeights,
    experts: ExpertIds,
    gate_up: GateUp,
    down: Down,
    row_multiple: int = 1,
) -> Hidden:
    """Runs each row of `x` [T, H] through its K experts and returns the weighted sum [T, H].

    Slices are filled up to a multiple of `row_multiple` rows. Matrix libraries take another path,
    with other rounding, for one to three rows: from 4 on, a row's bits do not depend on how many
    others go to the same expert. And they compile anew for every size.
    """
    rows, per_row = experts.shape
    flat = experts.reshape(-1)
    order = flat.argsort(stable=True)
    counts = torch.bincount(flat, minlength=gate_up.shape[0])
    filling = -counts % row_multiple
    # where each of the sorted rows goes once the slices before it are filled up
    places = torch.arange(len(order), device=x.device) + (filling.cumsum(0) - filling)[flat[order]]
    sizes = (counts + filling).tolist()
    source = order.new_zeros(sum(sizes)).index_put((places,), order // per_row)
    slices = x[source].split(sizes)
    # unbind once: indexing the stacked weights per expert makes the backward pass slow
    each = zip(slices, gate_up.unbind(0), down.unbind(0), strict=True)
    outputs = torch.cat([_expert(rows_of, up, back) for rows_of, up, back in each if len(rows_of)])
    of_rows = torch.empty_like(order).index_put((order,), places)
    contributions = outputs[of_rows].view(rows, per_row, -1).float() * weights[..., None]
    return contributions.sum(dim=1).to(x.dtype)


def _expert(x: Tensor, gate_up: Tensor, down: Tensor) -> Tensor:
    gate, up = torch.nn.functional.linear(x, gate_up).chunk(2, dim=-1)
    gated = torch.nn.functional.gelu(gate, approximate="tanh") * up
    return torch.nn.functional.linear(gated, down)
