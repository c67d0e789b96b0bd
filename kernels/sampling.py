"""What is read off one step's logits: entropies, draws by inverse CDF, and the accepted positions.

All in fp32. A draw spends one uniform per position and no noise of vocabulary size: the uniform
picks a tile of the vocabulary by the tiles' sums, then a token inside that tile. That is an exact
multinomial draw.
"""

from __future__ import annotations

import torch

from palimpsest.kernels.shapes import (
    Canvas,
    Logits,
    PerCanvas,
    PerPosition,
    PerRow,
    PositionMask,
    Probabilities,
)

TILE = 256


def entropies(logits: Logits) -> tuple[Probabilities, PerRow]:
    """softmax(logits) and -Σ p log p in nats, per position."""
    log_probabilities = torch.log_softmax(logits, dim=-1)
    # not exp of the above: the self-conditioning norm makes its rounding a hundred times larger
    probabilities = torch.softmax(logits, dim=-1)
    # 0 · -inf cannot occur: softcapped logits are finite
    return probabilities, -(probabilities * log_probabilities).sum(dim=-1)


def draw(probabilities: Probabilities, uniforms: PerRow) -> Canvas:
    """One token per position; `uniforms` lie in [0, 1). Weights need not be normalised.

    A token of weight zero is never drawn.
    """
    length, vocabulary = probabilities.shape
    padding = -vocabulary % TILE
    tiles = torch.nn.functional.pad(probabilities, (0, padding)).view(length, -1, TILE)
    tile, rest = _pick(tiles.sum(dim=-1), uniforms)
    chosen = tiles.gather(1, tile[:, None, None].expand(-1, 1, TILE))[:, 0]
    token, _ = _pick(chosen, rest)
    return tile * TILE + token


def _pick(weights: torch.Tensor, uniforms: PerRow) -> tuple[Canvas, PerRow]:
    """Index per row by inverse CDF, and where in the picked weight the uniform fell, in [0, 1)."""
    sums = weights.double().cumsum(dim=-1)
    target = uniforms.double()[:, None] * sums[:, -1:]
    index = torch.searchsorted(sums, target, right=True)
    # rounding of u · total may reach the total: fall back to the last index with any weight
    last = (sums < sums[:, -1:]).sum(dim=-1, keepdim=True)
    index = torch.minimum(index, last)
    weight = weights.double().gather(1, index)
    inside = (target - (sums.gather(1, index) - weight)) / weight
    return index[:, 0], inside[:, 0].clamp(0.0, 1.0 - 2**-53)


def accept(entropy: PerPosition, *, entropy_bound: PerCanvas) -> PositionMask:
    """Accepts surest first, while the entropies of the surer ones sum to at most the bound [B].

    The surest position of a canvas is always accepted (its sum is empty). From transformers,
    EntropyBoundSampler.
    """
    ordered, order = entropy.sort(dim=-1)
    surer = ordered.cumsum(dim=-1) - ordered
    within = surer <= entropy_bound[..., None]
    return torch.zeros_like(entropy, dtype=torch.bool).scatter(-1, order, within)
