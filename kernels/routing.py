"""Routing: which K of E experts each row goes to, and with what weight.

p = softmax_fp32(scores); the K largest, renormalised to sum 1, then times the expert's own scale
(transformers, Gemma4TextRouter: the per-expert scale comes after the renormalisation).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from palimpsest.kernels.shapes import ExpertIds, ExpertWeights

Scores = Float[Tensor, "T E"]
PerExpert = Float[Tensor, " E"]


def route(
    scores: Scores, per_expert_scale: PerExpert, *, experts_per_token: int
) -> tuple[ExpertWeights, ExpertIds, Scores]:
    """Weights (fp32) and ids of the chosen experts, best first, and the probabilities of all."""
    probabilities = torch.softmax(scores, dim=-1, dtype=torch.float32)
    weights, experts = torch.topk(probabilities, experts_per_token, dim=-1)
    weights = weights / weights.sum(dim=-1, keepdim=True)
    return weights * per_expert_scale.float()[experts], experts, probabilities
