"""The network of fused kernels beside the plain one, in Triton's interpreter."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

import pytest
import torch
from rounded_twin import rounded_twin

from palimpsest.engine.cache import PagedCache
from palimpsest.engine.gpu.layout import lay_out
from palimpsest.engine.gpu.network import FusedNetwork
from palimpsest.engine.gpu.weights import NetworkWeights
from palimpsest.engine.loaded_model import LoadedModel
from palimpsest.engine.page_table import PageTable
from palimpsest.engine.pages import Pages
from palimpsest.engine.segments import Segment, run_segments
from palimpsest.engine.shapes import TokenIds

PAGES = 40
TOLERANCE = 1e-4
"""fp32 after four layers: sums in another order."""


class Side:
    """Sequences in a cache of one network's own; the same calls give the same pages."""

    def __init__(self, model: LoadedModel) -> None:
        config = model.network.config
        self.windows = list(dict.fromkeys(layer.window for layer in config.layers))
        self.pages = Pages(dict.fromkeys(self.windows, PAGES))
        self.cache = PagedCache(
            config,
            dict.fromkeys(self.windows, PAGES),
            dtype=torch.float32,
            device=model.device,
        )

    def table(self) -> PageTable:
        return PageTable(self.pages)

    def causal(self, table: PageTable, count: int, *, seed: int) -> Segment:
        """Tokens at the end of a sequence; `advance` the table after the pass."""
        table.extend(count)
        return self._segment(table, tokens(count, seed), table.stored, causal=True)

    def canvas(self, table: PageTable, count: int, *, seed: int, behind: int = 0) -> Segment:
        """A canvas behind the sequence and `behind` tokens that the same pass writes."""
        return self._segment(table, tokens(count, seed), table.stored + behind, causal=False)

    def _segment(
        self, table: PageTable, token_ids: TokenIds, start: int, *, causal: bool
    ) -> Segment:
        return Segment(cache=self.cache.of(table), token_ids=token_ids, start=start, causal=causal)


def tokens(count: int, seed: int) -> TokenIds:
    return torch.randint(3, 500, (count,), generator=torch.Generator().manual_seed(seed))


def passes(side: Side) -> Iterator[list[Segment]]:
    """A prompt longer than the window, then its canvas beside another prompt and its own canvas."""
    one, other = side.table(), side.table()
    yield [side.causal(one, 40, seed=1)]
    one.advance(40, [])
    yield [
        side.canvas(one, 32, seed=3),
        side.causal(other, 32, seed=4),
        side.canvas(other, 32, seed=5, behind=32),
    ]


@pytest.fixture(params=[False, True], ids=["fp32", "e4m3"])
def fused(request: pytest.FixtureRequest, shallow: LoadedModel) -> FusedNetwork:
    weights = NetworkWeights.of(deepcopy(shallow.network), quantised=request.param)
    return FusedNetwork.of(
        shallow.network.config, weights, Side(shallow).cache, quantised=request.param
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
# dead rows hold whatever the memory held
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@torch.inference_mode()
def test_mixed_passes_give_the_hidden_states_of_the_plain_network(
    shallow: LoadedModel, fused: FusedNetwork
) -> None:
    plain_side, fused_side = Side(shallow), Side(shallow)
    network = rounded_twin(shallow.network) if fused.quantised else shallow.network
    fused_side.cache = fused.cache
    generator = torch.Generator().manual_seed(0)
    for plain, other in zip(passes(plain_side), passes(fused_side), strict=True):
        canvases = [i for i, segment in enumerate(plain) if not segment.causal]
        soft = torch.randn(32 * len(canvases), 64, generator=generator)
        for i, rows in zip(canvases, soft.split(32), strict=False):
            object.__setattr__(plain[i], "soft_embedding", rows)
        hidden = run_segments(network, plain)
        made = fused.forward(lay_out(other, fused_side.windows), soft)
        for i, rows in zip(canvases, made.split(32), strict=False):
            if fused.quantised:
                # a last bit may tip a rounding to the next step, an eighth away; mostly none does
                errors = (rows - hidden[i]).norm(dim=1) / hidden[i].norm(dim=1)
                assert errors.median() < 1e-5
                assert errors.max() < 0.1
            else:
                torch.testing.assert_close(rows, hidden[i], rtol=0, atol=TOLERANCE)
