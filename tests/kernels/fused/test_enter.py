from __future__ import annotations

import pytest
import torch

from palimpsest.kernels.fused.enter import enter, enter_reference


@pytest.mark.parametrize("width", [96, 130, 2816])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("quantised", [False, True])
def test_rows_of_canvases_of_text_and_of_pictures_enter_as_defined(
    width: int, dtype: torch.dtype, quantised: bool
) -> None:
    generator = torch.Generator().manual_seed(width)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator).to(dtype)

    settings = {
        "embedding": random(50, width),
        "scale": torch.tensor(width**0.5, dtype=dtype).item(),
        "canvas_tokens": torch.tensor([49, 7], dtype=torch.int32),
        "signal": random(2, width),
        "canvas_rows": torch.tensor([-1, 0, -1, 1, 1, -1, -1], dtype=torch.int32),
        "shown": random(2, width),
        "shown_rows": torch.tensor([-1, -1, -1, -1, -1, 1, 0], dtype=torch.int32),
        "norm": random(width),
        "epsilon": 1e-6,
        "quantised": quantised,
    }
    token_ids = torch.tensor([3, 1 << 20, 0, 1 << 20, 1 << 20, 5, 5], dtype=torch.int32)
    stream, entered = enter(token_ids, **settings)
    wanted_stream, wanted = enter_reference(token_ids, **settings)
    close = {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 4e-3, "atol": 4e-3}
    torch.testing.assert_close(stream, wanted_stream, **close)
    # another last bit before rounding to e4m3 may end a step, an eighth, away
    step = {"rtol": 0.126, "atol": 1e-2} if quantised else close
    torch.testing.assert_close(entered.exact(), wanted.exact(), **step)
