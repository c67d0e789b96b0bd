"""Import this before any kernel: type checking and Triton's interpreter get along."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import triton

_jit = triton.jit


def _unwrapped(kernel: Callable[..., None]) -> object:
    # the interpreter looks names up where the function was made, which for one that the type
    # checker has wrapped is the type checker
    return _jit(inspect.unwrap(kernel))


triton.jit = _unwrapped
