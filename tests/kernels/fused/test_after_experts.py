from __future__ import annotations

import pytest
import torch

from palimpsest.kernels.fused.after_experts import (
    LayerEnd,
    LayerOutputs,
    MlpOutputs,
    after_experts,
    after_experts_reference,
)

Case = tuple[torch.Tensor, MlpOutputs, LayerEnd]


def make(rows: int, width: int, chosen: int, dtype: torch.dtype) -> Case:
    generator = torch.Generator().manual_seed(width)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator).to(dtype)

    mlps = MlpOutputs(
        dense=random(rows, width),
        experts=random(rows * chosen, width),
        weights=torch.rand(rows, chosen, generator=generator),
    )
    dense, experts, after_mlps, following = random(4, width).unbind()
    end = LayerEnd(
        dense=dense,
        experts=experts,
        after_mlps=after_mlps,
        following=following,
        canvas_scalar=random(1),
        other_scalar=random(1),
        epsilon=1e-6,
    )
    return random(rows, width), mlps, end


def run(case: Case, on_canvas: torch.Tensor, *, quantised: bool) -> LayerOutputs:
    stream, mlps, end = case
    return after_experts(stream, mlps, end, on_canvas=on_canvas, quantised=quantised)


@pytest.mark.parametrize(("width", "chosen"), [(96, 1), (130, 3), (2816, 8)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("quantised", [False, True])
def test_rows_are_as_defined(width: int, chosen: int, dtype: torch.dtype, quantised: bool) -> None:
    stream, mlps, end = case = make(3, width, chosen, dtype)
    on_canvas = torch.tensor([True, False, True])
    made = run(case, on_canvas, quantised=quantised)
    wanted = after_experts_reference(stream, mlps, end, on_canvas=on_canvas, quantised=quantised)
    # in fp16 each of the sum, three norms, two additions and the scalar may round to the other
    # side, and a norm's weight of up to 3 multiplies what was before it: 8 steps of 2^-11
    close = 1e-5 if dtype == torch.float32 else 4e-3
    torch.testing.assert_close(made.stream, wanted.stream, rtol=close, atol=close)
    # another last bit before rounding to e4m3 may end a step, an eighth, away
    rtol, atol = (0.126, 1e-2) if quantised else (close, close)
    torch.testing.assert_close(
        made.following.exact(), wanted.following.exact(), rtol=rtol, atol=atol
    )


def test_a_row_is_the_same_in_any_company() -> None:
    stream, mlps, end = case = make(4, 130, 3, torch.float16)
    on_canvas = torch.tensor([True, False, True, False])
    together = run(case, on_canvas, quantised=True)
    for row in range(4):
        mine = slice(row, row + 1)
        of_row = MlpOutputs(
            dense=mlps.dense[mine],
            experts=mlps.experts[3 * row : 3 * row + 3],
            weights=mlps.weights[mine],
        )
        alone = run((stream[mine], of_row, end), on_canvas[mine], quantised=True)
        assert torch.equal(alone.stream, together.stream[mine])
        assert torch.equal(alone.following.exact(), together.following.exact()[mine])


def test_what_padding_holds_stays_with_it() -> None:
    stream, mlps, end = case = make(3, 96, 2, torch.float32)
    on_canvas = torch.tensor([True, True, False])
    before = run(case, on_canvas, quantised=False)
    mlps.experts[2:4] = float("nan")
    after = run((stream, mlps, end), on_canvas, quantised=False)
    others = torch.tensor([0, 2])
    assert torch.equal(after.stream[others], before.stream[others])
    assert torch.equal(after.following.values[others], before.following.values[others])
