"""Whether a kernel's outputs agree with its plain definition's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass

import torch
from torch import Tensor

from palimpsest.kernels.fused.rounding import Rounded

EQUAL_SHARE = 0.995
"""Of integers: another order of a sum may tip a draw or an acceptance now and then."""
TOLERANCES = {torch.float32: 1e-4, torch.float16: 2e-3, torch.bfloat16: 1e-2}
"""Relative errors (norms) by dtype: a few roundings, and sums in another order."""
ROUNDED_TOLERANCE = 2e-2
"""Of rows in e4m3, some of which another last bit tips to the next step, an eighth away."""


def disagreements(
    made: object, wanted: object, *, computed_in: torch.dtype = torch.float32
) -> list[str]:
    """What differs by more than rounding, in words; empty if nothing does. What is told in fp32
    may come of numbers that were rounded to `computed_in`, such as logits.
    """
    least = TOLERANCES[computed_in]
    return [
        f"{name}: {problem}"
        for (name, one), (_, other) in zip(_parts(made), _parts(wanted), strict=True)
        if (problem := _difference(one, other, least))
    ]


def _parts(value: object, name: str = "output") -> Iterator[tuple[str, Tensor | Rounded]]:
    if isinstance(value, Tensor | Rounded):
        yield name, value
    elif isinstance(value, tuple):
        for index, part in enumerate(value):
            yield from _parts(part, f"{name}[{index}]")
    elif is_dataclass(value):
        for field in fields(value):
            yield from _parts(getattr(value, field.name), f"{name}.{field.name}")


def _difference(made: Tensor | Rounded, wanted: Tensor | Rounded, least: float) -> str | None:
    if isinstance(made, Rounded) and isinstance(wanted, Rounded):
        quantised = made.scales is not None
        tolerance = ROUNDED_TOLERANCE if quantised else TOLERANCES[made.values.dtype]
        return _relative(made.exact(), wanted.exact(), tolerance)
    assert isinstance(made, Tensor)
    assert isinstance(wanted, Tensor)
    if made.is_floating_point():
        tolerance = max(least, TOLERANCES[made.dtype])
        return _relative(made.float(), wanted.float(), tolerance)
    share = (made == wanted).float().mean().item()
    return None if share >= EQUAL_SHARE else f"{share:.3%} are equal"


def _relative(made: Tensor, wanted: Tensor, tolerance: float) -> str | None:
    error = ((made - wanted).norm() / wanted.norm().clamp_min(1e-30)).item()
    # the other way round, so that NaN is a difference
    return None if error <= tolerance else f"relative error {error:.2e}, allowed {tolerance:.0e}"
