"""The network of fused kernels beside the plain one, in Triton's interpreter."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from laid_out import cache_of, canvas_after, causal, laid_out, random_tokens, showing
from rounded_twin import rounded_twin
from torch import Tensor

from palimpsest.engine.cache import PagedCache
from palimpsest.engine.gpu.layout import Part, PassShape
from palimpsest.engine.gpu.network import FusedNetwork
from palimpsest.engine.gpu.weight_format import WeightFormat
from palimpsest.engine.gpu.weights import NetworkWeights
from palimpsest.engine.loaded_model import LoadedModel
from palimpsest.engine.model import DiffusionGemma
from palimpsest.engine.page_table import PageTable
from palimpsest.engine.pages import Pages
from palimpsest.engine.segments import PictureSegment, Segment, run_segments

PAGES = 40
CANVAS = 32
PICTURE = b"picture"
TOLERANCE = 1e-4
"""fp32 after four layers: sums in another order."""


def passes(pages: Pages) -> Iterator[list[Part]]:
    """A prompt longer than the window, then its canvas beside another prompt with its own, and
    a picture longer than the window after a third one.
    """
    one, other, third = PageTable(pages), PageTable(pages), PageTable(pages)
    yield [causal(one, 40, seed=1), causal(third, 20, seed=5)]
    one.advance(40, [])
    third.advance(20, [])
    yield [
        canvas_after(one, CANVAS),
        showing(third, 70, key=PICTURE),
        canvas_after(third, CANVAS, behind=70),
        causal(other, 32, seed=4),
        canvas_after(other, CANVAS, behind=32),
    ]


def fused_network(shallow: LoadedModel, weight_format: WeightFormat) -> FusedNetwork:
    weights = NetworkWeights.of(deepcopy(shallow.network), weight_format=weight_format)
    cache, quantised = cache_of(shallow, PAGES), weight_format.quantised
    return FusedNetwork.of(shallow.network.config, weights, cache, quantised=quantised)


@pytest.mark.slow
@pytest.mark.timeout(600)
# dead rows hold whatever the memory held
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("weight_format", WeightFormat)
@torch.inference_mode()
def test_mixed_passes_give_the_hidden_states_of_the_plain_network(
    shallow: LoadedModel, weight_format: WeightFormat
) -> None:
    network, fused = shallow.network, fused_network(shallow, weight_format)
    if weight_format.quantised:
        network = rounded_twin(network, weight_format)
    cache = cache_of(shallow, PAGES)
    generator = torch.Generator().manual_seed(0)
    for parts in passes(Pages(dict.fromkeys(fused.windows, PAGES))):
        least = PassShape.of(parts, CANVAS)
        layout = laid_out(parts, replace(least, rows=least.rows + 64), fused.windows)
        soft = torch.randn(CANVAS * least.canvases, 64, generator=generator)
        shown = torch.randn(70, 64, generator=generator)
        ids = random_tokens(len(soft), seed=5)
        wanted = plain_states(network, cache, parts, ids, soft, shown)
        made = fused.forward(layout, ids.int(), soft, shown)[layout.rows_of_canvases]
        for rows, hidden in zip(made.split(CANVAS), wanted, strict=False):
            if weight_format.quantised:
                # a last bit may tip a rounding to the next step, an eighth away; mostly none does
                errors = (rows - hidden).norm(dim=1) / hidden.norm(dim=1)
                assert errors.median() < 1e-5
                assert errors.max() < 0.1
            else:
                torch.testing.assert_close(rows, hidden, rtol=0, atol=TOLERANCE)


def plain_states(
    network: DiffusionGemma,
    cache: PagedCache,
    parts: list[Part],
    ids: Tensor,
    soft: Tensor,
    shown: Tensor,
) -> list[Tensor]:
    """Of the canvases, whose tokens and signals are given, as are the rows of the picture."""
    of_canvases = iter(zip(ids.split(CANVAS), soft.split(CANVAS), strict=True))
    segments = []
    for part in parts:
        if part.token_ids is None:
            token_ids, signal = next(of_canvases)
        else:
            token_ids, signal = torch.tensor(part.token_ids), None
        segments.append(
            Segment(
                cache=cache.of(part.table),
                token_ids=token_ids,
                start=part.start,
                causal=part.token_ids is not None,
                pictures=_whole(part, shown) if part.shows else (),
                soft_embedding=signal,
            )
        )
    hidden = run_segments(network, segments)
    return [rows for rows, part in zip(hidden, parts, strict=True) if part.token_ids is None]


def _whole(part: Part, shown: Tensor) -> tuple[PictureSegment]:
    return (PictureSegment(start=part.start, end=part.end, embeddings=shown),)
