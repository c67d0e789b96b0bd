"""Cases around the output head: logits in summary, draws, the end of a step, the soft embedding."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from torch import Tensor

from palimpsest.kernels.cases.case import Case, Make, Sizes
from palimpsest.kernels.fused.lm_head import Summary, lm_head, lm_head_reference, tiling_of
from palimpsest.kernels.fused.noise import noise, noise_reference
from palimpsest.kernels.fused.rounding import Rounded
from palimpsest.kernels.fused.sampling import Reading, read_rows, read_rows_reference
from palimpsest.kernels.fused.settle import (
    CanvasProgress,
    CanvasRules,
    settle,
    settle_reference,
)
from palimpsest.kernels.fused.soft_embedding import soft_embedding, soft_embedding_reference
from palimpsest.kernels.fused.target import has_tma


def cases(sizes: Sizes, *, itemsize: int) -> Iterator[Case]:
    rows, hidden, vocabulary = sizes.rows, sizes.hidden, sizes.vocabulary
    yield Case(
        name="lm_head",
        inputs=partial(_hidden, sizes),
        run=lambda given: lm_head(**given),
        reference=lambda given: lm_head_reference(**given, tile=_tile()),
        bytes=(rows + vocabulary) * hidden * itemsize + rows * vocabulary * itemsize,
        flops=2 * rows * hidden * vocabulary,
        multiplies=True,
    )
    yield Case(
        name="fp8 lm_head",
        inputs=partial(_hidden, sizes, coded=True),
        run=lambda given: lm_head(**given),
        reference=lambda given: lm_head_reference(**given, tile=_tile(quantised=True)),
        bytes=(rows + vocabulary) * hidden + rows * vocabulary * itemsize,
        flops=2 * rows * hidden * vocabulary,
        quantised=True,
        multiplies=True,
    )
    yield Case(
        name="read_rows",
        inputs=partial(_summary, sizes),
        run=lambda given: read_rows(*given[:2], vocabulary_size=vocabulary),
        reference=lambda given: read_rows_reference(*given[:2], vocabulary_size=vocabulary),
        bytes=rows * 16 * (vocabulary // 256) + rows * 256 * itemsize,
        flops=40 * rows * (vocabulary // 256),
    )
    yield _noise(sizes)
    yield _settle(sizes)
    yield Case(
        name="soft_embedding",
        inputs=partial(_read, sizes),
        run=lambda given: soft_embedding(*given[:2], **given[2]),
        reference=lambda given: soft_embedding_reference(*given[:2], **given[2]),
        bytes=vocabulary * (hidden + rows) * itemsize,
        flops=2 * rows * hidden * vocabulary,
        multiplies=True,
    )


def _tile(*, quantised: bool = False) -> int:
    return tiling_of(quantised=quantised, tma=has_tma()).tokens


def _hidden(sizes: Sizes, make: Make, *, coded: bool = False) -> dict[str, Any]:
    """Logits spread as those of a canvas half done: a few tokens matter."""
    embedding = make.numbers(sizes.vocabulary, sizes.hidden, scale=4 * sizes.hidden**-0.5)
    return {
        "hidden": make.numbers(sizes.rows, sizes.hidden),
        "embedding": embedding,
        "coded": Rounded.of(embedding, quantised=True) if coded else None,
        "inverse_temperature": 1 / (0.4 + 0.4 * make.floats(sizes.rows)),
        "softcap": sizes.softcap,
    }


def _summary(sizes: Sizes, make: Make) -> tuple[Summary, Tensor, dict[str, Any]]:
    given = _hidden(sizes, make)
    summary = lm_head(**given)
    embedding = {"embedding": given["embedding"], "scale": 53.0}
    return summary, make.floats(sizes.rows), embedding


def _read(sizes: Sizes, make: Make) -> tuple[Summary, Reading, dict[str, Any]]:
    summary, uniforms, embedding = _summary(sizes, make)
    return summary, read_rows(summary, uniforms, vocabulary_size=sizes.vocabulary), embedding


def _noise(sizes: Sizes) -> Case:
    def inputs(make: Make) -> dict[str, Any]:
        return {
            "seeds": make.integers(4, below=2**31 - 1).long() << 31,
            "canvas_index": make.integers(4, below=100),
            "step": make.integers(4, below=48),
            "length": sizes.rows,
            "vocabulary_size": sizes.vocabulary,
        }

    return Case(
        name="noise, 4 canvases",
        inputs=inputs,
        run=lambda given: noise(**given),
        reference=lambda given: noise_reference(**given),
        bytes=8 * 4 * sizes.rows,
        flops=0,
    )


def _settle(sizes: Sizes) -> Case:
    shape = (4, sizes.rows)

    def inputs(make: Make) -> tuple[CanvasProgress, CanvasRules, dict[str, Any]]:
        argmax = make.integers(*shape, below=sizes.vocabulary)
        drawn, tokens, random = (make.integers(*shape, below=sizes.vocabulary) for _ in range(3))
        progress = CanvasProgress(
            tokens=tokens,
            draft=argmax.clone(),
            unchanged_steps=make.listed(0, 0, 1, 2),
            step=make.listed(1, 2, 3, 46),
        )
        rules = CanvasRules(
            entropy_bound=make.floats(4),
            confidence_threshold=make.floats(4),
            stability_threshold=make.listed(1, 1, 1, 2),
            max_steps=make.listed(48, 48, 48, 48),
        )
        entropy = {"entropy": make.floats(*shape), "drawn": drawn, "argmax": argmax}
        return progress, rules, {**entropy, "noise": random}

    # both return the progress too, as they move it on in place
    return Case(
        name="settle, 4 canvases",
        inputs=inputs,
        run=lambda given: (settle(*given[:2], **given[2]), given[0]),
        reference=lambda given: (settle_reference(*given[:2], **given[2]), given[0]),
        bytes=29 * 4 * sizes.rows,
        flops=3 * 4 * sizes.rows**2,
    )
