"""Grouped-query attention against softmax written out, head by head."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from palimpsest.kernels.attention import attention

TOLERANCE = 1e-5
"""fp32 over sums of at most 100 terms of order one."""


def written_out(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    share = query.shape[1] // key.shape[1]
    heads = []
    for head in range(query.shape[1]):
        scores = query[:, head].double() @ key[:, head // share].double().T
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        heads.append(scores.softmax(-1) @ value[:, head // share].double())
    return torch.stack(heads, dim=1).float()


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("heads", "groups"), [(4, 4), (4, 2), (6, 2), (16, 2), (3, 1)])
@pytest.mark.parametrize(("rows", "keys", "width"), [(1, 1, 8), (5, 37, 16), (32, 100, 32)])
@pytest.mark.parametrize("masked", [False, True])
def test_it_is_the_softmax_written_out(
    heads: int, groups: int, rows: int, keys: int, width: int, masked: bool
) -> None:
    query, key, value = (
        random(rows, heads, width, seed=1) / width**0.5,
        random(keys, groups, width, seed=2),
        random(keys, groups, width, seed=3),
    )
    mask = random(rows, keys, seed=4) > 0 if masked else None
    if mask is not None:
        mask[:, 0] = True
    output = attention(query=query, key=key, value=value, mask=mask)
    torch.testing.assert_close(output, written_out(query, key, value, mask), rtol=0, atol=TOLERANCE)


def test_scores_are_not_divided_by_the_root_of_the_width() -> None:
    query, key, value = random(2, 1, 64, seed=1), random(3, 1, 64, seed=2), random(3, 1, 64, seed=3)
    output = attention(query=query, key=key, value=value, mask=None)
    scaled = written_out(query / 8, key, value, None)
    assert (output - scaled).abs().max() > 0.1


def test_query_heads_share_the_key_head_of_their_own_group() -> None:
    query = random(2, 4, 8, seed=1)
    key, value = random(3, 2, 8, seed=2), random(3, 2, 8, seed=3)
    before = attention(query=query, key=key, value=value, mask=None)
    value[:, 1] += 1
    after = attention(query=query, key=key, value=value, mask=None)
    assert torch.equal(before[:, :2], after[:, :2])
    assert not torch.equal(before[:, 2:], after[:, 2:])


def test_keys_may_be_a_view_into_a_longer_store() -> None:
    store = random(50, 2, 8, seed=1)
    query = random(3, 4, 8, seed=2)
    view = attention(query=query, key=store[7:20], value=store[9:22], mask=None)
    copy = attention(query=query, key=store[7:20].clone(), value=store[9:22].clone(), mask=None)
    assert torch.equal(view, copy)
