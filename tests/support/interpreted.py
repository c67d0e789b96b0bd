"""Import this before any kernel: it makes kernels run in Triton's interpreter."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable

os.environ["TRITON_INTERPRET"] = "1"  # read when a kernel is defined

import triton

_jit = triton.jit


def _unwrapped(kernel: Callable[..., None]) -> object:
    # the interpreter looks names up where the function was made, which for one that the type
    # checker has wrapped is the type checker
    return _jit(inspect.unwrap(kernel))


triton.jit = _unwrapped
