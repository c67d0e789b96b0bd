"""Cases of what every row passes through: the way in, norms, dense products."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from palimpsest.kernels.cases.case import Case, Make, Sizes
from palimpsest.kernels.fused.after_attention import (
    MlpNorms,
    after_attention,
    after_attention_reference,
)
from palimpsest.kernels.fused.after_experts import (
    LayerEnd,
    MlpOutputs,
    after_experts,
    after_experts_reference,
)
from palimpsest.kernels.fused.enter import enter, enter_reference
from palimpsest.kernels.fused.linear import (
    gated_linear,
    gated_linear_reference,
    linear,
    linear_reference,
)
from palimpsest.kernels.fused.rounding import Rounded


def cases(sizes: Sizes, *, itemsize: int) -> Iterator[Case]:
    """`itemsize` is that of activations which are not quantised."""
    for quantised in (True, False):
        width = 1 if quantised else itemsize
        yield _enter(sizes, itemsize, quantised)
        yield _after_attention(sizes, itemsize, quantised)
        yield _after_experts(sizes, itemsize, quantised)
        sliding, full = sizes.sliding, sizes.full
        for name, columns, depth in (
            ("qkv sliding", (sizes.heads + 2 * sliding.groups) * sliding.head, sizes.hidden),
            ("qkv full", (sizes.heads + full.groups) * full.head, sizes.hidden),
            ("output sliding", sizes.hidden, sizes.heads * sliding.head),
            ("output full", sizes.hidden, sizes.heads * full.head),
        ):
            yield _linear(name, sizes.rows, columns, depth, width, quantised, grouped=False)
        yield _gated(sizes, width, quantised)
        grouped = {"grouped": quantised}
        rows, hidden, inner = sizes.rows, sizes.hidden, sizes.mlp_width
        yield _linear("dense down", rows, hidden, inner, width, quantised, **grouped)


def _enter(sizes: Sizes, itemsize: int, quantised: bool) -> Case:
    rows, hidden = sizes.rows, sizes.hidden

    def inputs(make: Make) -> dict[str, object]:
        return {
            "token_ids": make.integers(rows, below=sizes.vocabulary),
            "embedding": make.numbers(sizes.vocabulary, hidden),
            "scale": torch.tensor(hidden**0.5, dtype=make.dtype).item(),
            "canvas_tokens": make.integers(rows, below=sizes.vocabulary),
            "signal": make.numbers(rows, hidden),
            "canvas_rows": torch.arange(rows, dtype=torch.int32, device=make.device),
            "shown": make.numbers(1, hidden),
            "shown_rows": torch.full((rows,), -1, dtype=torch.int32, device=make.device),
            "norm": make.numbers(hidden),
            "epsilon": sizes.epsilon,
            "quantised": quantised,
        }

    return Case(
        name=_named("enter", quantised),
        inputs=inputs,
        run=lambda given: enter(**given),
        reference=lambda given: enter_reference(**given),
        bytes=rows * hidden * (3 * itemsize + (1 if quantised else itemsize)),
        flops=8 * rows * hidden,
    )


def _after_attention(sizes: Sizes, itemsize: int, quantised: bool) -> Case:
    rows, hidden = sizes.rows, sizes.hidden

    def inputs(make: Make) -> tuple[object, ...]:
        post, dense, experts, router = (make.numbers(hidden) for _ in range(4))
        norms = MlpNorms(
            after_attention=post,
            dense=dense,
            experts=experts,
            router=router,
            epsilon=sizes.epsilon,
        )
        return make.numbers(rows, hidden), make.numbers(rows, hidden), norms

    return Case(
        name=_named("after_attention", quantised),
        inputs=inputs,
        run=lambda given: after_attention(*given, quantised=quantised),
        reference=lambda given: after_attention_reference(*given, quantised=quantised),
        bytes=rows * hidden * (4 * itemsize + 2 * (1 if quantised else itemsize)),
        flops=12 * rows * hidden,
    )


def _after_experts(sizes: Sizes, itemsize: int, quantised: bool) -> Case:
    rows, hidden, per_row = sizes.rows, sizes.hidden, sizes.experts_per_row

    def inputs(make: Make) -> tuple[object, ...]:
        dense, experts, after_mlps, following = (make.numbers(hidden) for _ in range(4))
        end = LayerEnd(
            dense=dense,
            experts=experts,
            after_mlps=after_mlps,
            following=following,
            canvas_scalar=make.numbers(1),
            other_scalar=make.numbers(1),
            epsilon=sizes.epsilon,
        )
        mlps = MlpOutputs(
            dense=make.numbers(rows, hidden),
            experts=make.numbers(rows * per_row, hidden),
            weights=make.floats(rows, per_row),
        )
        return make.numbers(rows, hidden), mlps, end, make.floats(rows) < 0.5

    def settings(on_canvas: torch.Tensor) -> dict[str, object]:
        return {"on_canvas": on_canvas, "quantised": quantised}

    return Case(
        name=_named("after_experts", quantised),
        inputs=inputs,
        run=lambda given: after_experts(*given[:3], **settings(given[3])),
        reference=lambda given: after_experts_reference(*given[:3], **settings(given[3])),
        bytes=rows * hidden * ((3 + per_row) * itemsize + (1 if quantised else itemsize)),
        flops=(2 * per_row + 18) * rows * hidden,
    )


def _linear(
    name: str, rows: int, columns: int, depth: int, width: int, quantised: bool, *, grouped: bool
) -> Case:
    def inputs(make: Make) -> tuple[object, ...]:
        x = make.numbers(rows, depth)
        weight = make.rounded(columns, depth, quantised=quantised, scale=depth**-0.5)
        of = Rounded.grouped if grouped else Rounded.of
        return of(x, quantised=quantised), weight, make.dtype

    return Case(
        name=_named(name, quantised),
        inputs=inputs,
        run=lambda given: linear(*given[:2], dtype=given[2]),
        reference=lambda given: linear_reference(*given[:2], dtype=given[2]),
        bytes=(rows * depth + columns * depth) * width + 2 * rows * columns,
        flops=2 * rows * columns * depth,
        quantised=quantised,
        multiplies=True,
    )


def _gated(sizes: Sizes, width: int, quantised: bool) -> Case:
    rows, hidden, inner = sizes.rows, sizes.hidden, sizes.mlp_width

    def inputs(make: Make) -> tuple[object, ...]:
        weight = make.rounded(2 * inner, hidden, quantised=quantised, scale=hidden**-0.5)
        return make.rounded(rows, hidden, quantised=quantised), weight, make.dtype

    return Case(
        name=_named("dense gate and up", quantised),
        inputs=inputs,
        run=lambda given: gated_linear(*given[:2], dtype=given[2]),
        reference=lambda given: gated_linear_reference(*given[:2], dtype=given[2]),
        bytes=(rows * hidden + 2 * inner * hidden + rows * inner) * width,
        flops=4 * rows * inner * hidden,
        quantised=quantised,
        multiplies=True,
    )


def _named(name: str, quantised: bool) -> str:
    return f"{name} e4m3" if quantised else name
