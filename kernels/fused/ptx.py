"""Single instructions that Triton has no name for, each beside what it stands for.

For epilogues that do little else: Triton's own exponential and division guard against subnormal
numbers, with three to six instructions each. Triton's interpreter knows no assembly.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def exp2(x, EMULATED: tl.constexpr):
    """2^x in fp32, with a relative error of 2^-22; 0 below 2^-126."""
    if EMULATED:
        y = tl.exp2(x)
    else:
        y = tl.inline_asm_elementwise(
            "ex2.approx.ftz.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1
        )
    return y


@triton.jit
def reciprocal(x, EMULATED: tl.constexpr):
    """1 / x in fp32, with a relative error of 2^-23; 0 above 2^126."""
    if EMULATED:
        y = 1.0 / x
    else:
        y = tl.inline_asm_elementwise(
            "rcp.approx.ftz.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1
        )
    return y


@triton.jit
def rounded(x, DTYPE: tl.constexpr):
    """`x` (fp32) rounded to DTYPE, in fp32. To bf16 in pairs: one by one is a quarter as fast."""
    if DTYPE.is_bf16():
        y = tl.inline_asm_elementwise(
            """{
            .reg .b32 pair;
            cvt.rn.bf16x2.f32 pair, $3, $2;
            shl.b32 $0, pair, 16;
            and.b32 $1, pair, 0xffff0000;
            }""",
            "=f,=f,f,f",
            [x],
            dtype=tl.float32,
            is_pure=True,
            pack=2,
        )
    else:
        y = x.to(DTYPE).to(tl.float32)
    return y
