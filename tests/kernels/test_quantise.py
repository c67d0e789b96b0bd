"""Eight-bit floats with a scale per group, against a loop over groups of rows."""

from __future__ import annotations

import pytest
import torch

from palimpsest.kernels.quantise import (
    dequantise_groups,
    dequantise_rows,
    quantise_groups,
    quantise_rows,
)


# a part of a group, one, and several of which the last is a part
@pytest.mark.parametrize("width", [48, 64, 150])
def test_each_group_is_quantised_as_a_row_of_its_own(width: int) -> None:
    x = torch.randn(2, 3, width, generator=torch.Generator().manual_seed(width))
    x[..., :48] *= 100
    values, scales = quantise_groups(x)
    assert values.shape == x.shape
    exact = dequantise_groups(values, scales)
    for i, group in enumerate(x.split(64, dim=-1)):
        wanted, scales_of_rows = quantise_rows(group)
        assert torch.equal(scales[..., i], scales_of_rows)
        mine = slice(64 * i, 64 * i + group.shape[-1])
        assert torch.equal(values[..., mine].float(), wanted.float())
        assert torch.equal(exact[..., mine], dequantise_rows(wanted, scales_of_rows))
