from __future__ import annotations

import pytest
import torch

from palimpsest.kernels.fused.expert_rows import CHUNK, expert_rows, expert_rows_reference


def random_ids(rows: int, experts: int, chosen: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(rows)
    scores = torch.rand(rows, experts, generator=generator)
    return scores.topk(chosen).indices.int()


# one chunk, its exact end, and several
@pytest.mark.parametrize(("rows", "experts", "chosen"), [(1, 4, 1), (7, 5, 3), (300, 24, 8)])
@pytest.mark.parametrize("masked", [False, True])
def test_lists_are_as_defined(rows: int, experts: int, chosen: int, masked: bool) -> None:
    ids = random_ids(rows, experts, chosen)
    alive = torch.arange(rows) % 3 != 1 if masked else None
    made = expert_rows(ids, alive=alive, num_experts=experts)
    wanted = expert_rows_reference(ids, alive=alive, num_experts=experts)
    assert made.counts.tolist() == [len(rows_of) for rows_of in wanted]
    for indices, rows_of in zip(made.indices, wanted, strict=True):
        assert torch.equal(indices[: len(rows_of)], rows_of)


def test_an_expert_that_every_row_chose_fills_its_list() -> None:
    rows = CHUNK // 8
    ids = torch.arange(8, dtype=torch.int32).expand(rows, 8).contiguous()
    made = expert_rows(ids, num_experts=9)
    assert made.counts.tolist() == [rows] * 8 + [0]
    assert torch.equal(made.indices[3], torch.arange(rows, dtype=torch.int32) * 8 + 3)
