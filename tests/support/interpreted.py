"""Import this before any kernel: type checking and Triton's interpreter get along, and the
interpreter loses less time.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from types import FunctionType
from typing import Any, ClassVar

import numpy as np
import triton
from triton.language import core
from triton.runtime import interpreter
from triton.runtime.interpreter import GridExecutor

_jit = triton.jit
_call: Callable[..., None] = GridExecutor.__call__
_patch_lang: Callable[[FunctionType], Any] = interpreter._patch_lang
_get_np_dtype: Callable[[core.dtype], np.dtype[Any]] = interpreter._get_np_dtype
_np_dtypes: dict[str, np.dtype[Any]] = {}


def _unwrapped(kernel: Callable[..., None]) -> object:
    # the interpreter looks names up where the function was made, which for one that the type
    # checker has wrapped is the type checker
    return _jit(inspect.unwrap(kernel))


class _Launch:
    """Patches the language for a kernel, and for each function that it calls only what is not yet
    patched: the rest would change nothing, and is a quarter of the time.
    """

    patched: ClassVar[set[bool]] = set()
    """By whether a function knows the language by its inner module, as Triton's own do."""

    def __init__(self, function: FunctionType) -> None:
        inner = any(value is core for value in function.__globals__.values())
        self.scope = None if inner in _Launch.patched else _patch_lang(function)
        _Launch.patched.add(inner)

    def restore(self) -> None:
        """At a launch's end."""
        assert self.scope is not None
        self.scope.restore()
        _Launch.patched.clear()


def _launch(self: GridExecutor, *arguments: object, **named: object) -> None:
    """Launches with room on the stack for all calls within.

    CPython (3.11) maps a stack in pieces of 16 KB and unmaps a piece when its first frame ends, so
    a call made again and again from the edge of a piece maps one each time: half of the time of
    some tests.
    """
    _call(self, *arguments, **named)


def _np_dtype(of: core.dtype) -> np.dtype[Any]:
    """Looked up anew each time it is a table of twenty types made and thrown away."""
    name: str = str(of.scalar)
    found = _np_dtypes.get(name)
    if found is None:
        found = _np_dtypes[name] = _get_np_dtype(of.scalar)
    return found


# a piece holds at least its first frame, and is as large again for those that follow
_launch.__code__ = _launch.__code__.replace(co_stacksize=2**16)
triton.jit = _unwrapped
interpreter._patch_lang = _Launch
interpreter._get_np_dtype = _np_dtype
# it looks for overflows and keeps quiet about them, for a quarter of the time
interpreter.interpreter_builder.options = replace(
    interpreter.interpreter_builder.options, sanitize_overflow=False
)
GridExecutor.__call__ = _launch
