from __future__ import annotations

import torch
import triton
import triton.language as tl

from palimpsest.kernels.fused.rounding import INTERPRETED, e4m3


@triton.jit
def _round_kernel(x, out, N: tl.constexpr):
    i = tl.arange(0, N)
    tl.store(out + i, e4m3(tl.load(x + i), True))


def test_the_emulated_cast_rounds_as_torch_does() -> None:
    assert INTERPRETED
    every = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn).float()
    every = every[every.isfinite()].sort().values
    halfway = (every[1:] + every[:-1]) / 2
    generator = torch.Generator().manual_seed(0)
    random = torch.randn(1024, generator=generator) * 3.0 ** torch.randint(
        -8, 5, (1024,), generator=generator
    )
    x = torch.cat((every, halfway, halfway * 1.0001, halfway * 0.9999, random.clamp(-448, 448)))
    x = torch.nn.functional.pad(x, (0, 2048 - len(x)))
    out = torch.empty(2048, dtype=torch.float8_e4m3fn)
    _round_kernel[(1,)](x, out, 2048)
    assert torch.equal(out.float(), x.to(torch.float8_e4m3fn).float())
