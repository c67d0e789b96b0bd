"""The activation of every MLP."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def gelu_tanh(x):
    """x · (1 + tanh(u)) / 2 as x · sigmoid(2u), which neither overflows nor cancels.

    u = √(2/π) · (x + 0.044715 · x³); fp32.
    """
    u = 0.7978845608028654 * (x + 0.044715 * x * x * x)
    # exp of more is inf, and the result 0 all the same
    return x / (1.0 + tl.exp(tl.minimum(-2.0 * u, 80.0)))
