"""What a token is drawn from once a request has bent and cut the distribution."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from palimpsest.engine.drawing import DrawControls, cut
from palimpsest.engine.sampling import Sampling

PROBABILITIES = torch.tensor([0.1, 0.4, 0.05, 0.3, 0.15])
REFERENCE = Sampling(max_output_tokens=1, seed=0)


def kept(*, top_p: float = math.inf, top_k: float = math.inf, min_p: float = 0.0) -> list[int]:
    """Ids of the tokens that can still be drawn, whose weights have to be what they were."""
    bounds = {"top_p": top_p, "top_k": top_k, "min_p": min_p}
    rows = {name: torch.tensor([float(bound)]) for name, bound in bounds.items()}
    (weights,) = cut(PROBABILITIES[None], **rows)
    ids = weights.nonzero()[:, 0]
    assert torch.equal(weights[ids], PROBABILITIES[ids])
    return ids.tolist()


@pytest.mark.parametrize(
    ("top_p", "ids"), [(0.01, [1]), (0.41, [1, 3]), (0.72, [1, 3, 4]), (0.99, [0, 1, 2, 3, 4])]
)
def test_top_p_keeps_the_fewest_tokens_that_sum_to_it(top_p: float, ids: list[int]) -> None:
    assert kept(top_p=top_p) == ids


@pytest.mark.parametrize(("top_k", "ids"), [(1, [1]), (3, [1, 3, 4]), (9, [0, 1, 2, 3, 4])])
def test_top_k_keeps_so_many(top_k: int, ids: list[int]) -> None:
    assert kept(top_k=top_k) == ids


@pytest.mark.parametrize(("min_p", "ids"), [(1.0, [1]), (0.5, [1, 3]), (0.2, [0, 1, 3, 4])])
def test_min_p_keeps_what_is_probable_enough_beside_the_best(min_p: float, ids: list[int]) -> None:
    assert kept(min_p=min_p) == ids


def test_the_narrowest_bound_decides() -> None:
    assert kept(top_p=0.99, top_k=3, min_p=0.5) == [1, 3]


def weights_of(*samplings: Sampling, logits: Tensor) -> Tensor:
    """What the rows of canvases of two rows each are drawn from."""
    drawn_from: list[Tensor] = []
    _draw(samplings, logits, lambda weights: drawn_from.append(weights) or weights.argmax(-1))
    return drawn_from[0]


def _draw(
    samplings: tuple[Sampling, ...], logits: Tensor, draw: Callable[[Tensor], Tensor]
) -> Tensor:
    return DrawControls(samplings, 2, logits.device).draw(
        slice(0, len(logits)),
        scaled=logits,
        probabilities=logits.softmax(-1),
        argmax=logits.argmax(-1),
        draw=draw,
    )


def test_each_canvas_is_drawn_by_its_own_request() -> None:
    logits = torch.randn(6, 50, generator=torch.Generator().manual_seed(0))
    narrow = Sampling(max_output_tokens=1, seed=0, top_k=2)
    cold = Sampling(max_output_tokens=1, seed=0, temperature=0.5)
    weights = weights_of(REFERENCE, narrow, cold, logits=logits)
    assert torch.equal(weights[:2], logits[:2].softmax(-1))
    assert (weights[2:4] > 0).sum(-1).tolist() == [2, 2]
    torch.testing.assert_close(weights[4:], (logits[4:] / 0.5).softmax(-1))


def test_rows_in_the_middle_of_a_canvas_are_its_own() -> None:
    logits = torch.randn(2, 50, generator=torch.Generator().manual_seed(0))
    controls = DrawControls(
        (REFERENCE, Sampling(max_output_tokens=1, seed=0, temperature=0.0)), 2, logits.device
    )
    # the last row of the first canvas and the first one of the second
    drawn = controls.draw(
        slice(1, 3),
        scaled=logits,
        probabilities=logits.softmax(-1),
        argmax=logits.argmax(-1),
        draw=lambda weights: weights.argmin(-1),
    )
    assert drawn.tolist() == [int(logits[0].argmin()), int(logits[1].argmax())]


def test_where_nothing_is_asked_for_the_probabilities_themselves_are_drawn_from() -> None:
    probabilities = torch.rand(2, 5)
    given: list[Tensor] = []
    DrawControls((REFERENCE,), 2, probabilities.device).draw(
        slice(0, 2),
        scaled=probabilities,
        probabilities=probabilities,
        argmax=probabilities.argmax(-1),
        draw=lambda weights: given.append(weights) or weights.argmax(-1),
    )
    assert given[0] is probabilities
