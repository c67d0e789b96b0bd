from __future__ import annotations

import pytest
import torch
from torch import Tensor

from palimpsest.kernels.fused.lm_head import (
    WITH_TMA,
    WITHOUT_TMA,
    Summary,
    lm_head,
    lm_head_reference,
)
from palimpsest.kernels.fused.sampling import Reading, read_rows, read_rows_reference
from palimpsest.kernels.fused.soft_embedding import soft_embedding, soft_embedding_reference
from palimpsest.kernels.fused.tile_plan import SKIPPED
from palimpsest.kernels.sampling import draw, entropies

SCALE = 53.0


def case(
    rows: int,
    width: int,
    vocabulary: int,
    *,
    spread: float,
    tma: bool = True,
    dtype: torch.dtype = torch.float32,
) -> tuple[Summary, Reading, Tensor]:
    """Rows whose logits have deviation `spread`, and an embedding."""
    generator = torch.Generator().manual_seed(rows + width + vocabulary)
    hidden = torch.randn(rows, width, generator=generator)
    embedding = torch.randn(vocabulary, width, generator=generator)
    summary = lm_head_reference(
        hidden=(hidden * spread * width**-0.5).to(dtype),
        embedding=embedding.to(dtype),
        inverse_temperature=torch.ones(rows),
        softcap=1e4,
        tile=(WITH_TMA if tma else WITHOUT_TMA).tokens,
    )
    reading = read_rows_reference(summary, torch.zeros(rows), vocabulary_size=vocabulary)
    return summary, reading, embedding.to(dtype)


@pytest.mark.parametrize("tma", [True, False])
@pytest.mark.parametrize(
    ("rows", "width", "vocabulary"),
    [(1, 64, 7), (5, 72, 300), (130, 64, 2300), (2, 2816, 260)],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_rows_are_softened_as_defined(
    rows: int, width: int, vocabulary: int, dtype: torch.dtype, tma: bool
) -> None:
    summary, reading, embedding = case(rows, width, vocabulary, spread=3.0, tma=tma, dtype=dtype)
    given = {"embedding": embedding, "scale": SCALE}
    made = soft_embedding(summary, reading, **given, tma=tma)
    wanted = soft_embedding_reference(summary, reading, **given)
    # sums of probability 1 over embeddings of deviation 1, times 53; in fp16 they and the
    # probabilities may round the other way
    rtol, atol = (2e-3, 2e-4) if dtype == torch.float16 else (1e-5, 1e-6)
    torch.testing.assert_close(made, wanted, rtol=rtol, atol=SCALE * atol)


@pytest.mark.parametrize("tma", [True, False])
def test_without_skipping_a_step_is_that_of_the_plain_path(tma: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(3, 64, generator=generator)
    embedding = torch.randn(1000, 64, generator=generator)
    cooling, uniforms = torch.tensor([1.0, 1.5, 2.0]), torch.tensor([0.1, 0.5, 0.9])
    summary = lm_head(
        hidden=hidden, embedding=embedding, inverse_temperature=cooling, softcap=30.0, tma=tma
    )
    reading = read_rows(summary, uniforms, vocabulary_size=1000)
    made = soft_embedding(summary, reading, embedding=embedding, scale=8.0, skip_below=0.0, tma=tma)
    logits = torch.tanh(hidden @ embedding.T / 30.0) * 30.0 * cooling[:, None]
    probabilities, entropy = entropies(logits)
    # logits are off by 60 · 2 · 2^-24
    torch.testing.assert_close(made, probabilities @ embedding * 8.0, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(reading.entropy, entropy, rtol=1e-4, atol=1e-5)
    assert torch.equal(reading.drawn.long(), draw(probabilities, uniforms))
    assert torch.equal(reading.argmax.long(), logits.argmax(-1))


@pytest.mark.parametrize("tma", [True, False])
def test_what_is_skipped_is_little(tma: bool) -> None:
    # an embedding of ones sums the probabilities; steep rows do without most of 12 tiles
    summary, reading, embedding = case(9, 64, 3000, spread=20.0, tma=tma)
    ones = torch.ones_like(embedding)
    exact = soft_embedding(summary, reading, embedding=ones, scale=1.0, skip_below=0.0, tma=tma)
    made = soft_embedding(summary, reading, embedding=ones, scale=1.0, tma=tma)
    lost = exact[:, 0].double() - made[:, 0].double()
    shares = summary.sums * (summary.maxima - reading.maximum[:, None]).exp()
    skipped = shares / reading.total[:, None] < SKIPPED / shares.shape[1]
    assert skipped.float().mean() > 0.5
    assert float(lost.max()) < SKIPPED
    torch.testing.assert_close(exact, torch.ones_like(exact), rtol=1e-5, atol=0.0)


def test_tiles_that_no_row_needs_are_not_read() -> None:
    summary, reading, embedding = case(4, 64, 3000, spread=3.0)
    needed = summary.tile * torch.tensor([0, 9])
    summary.maxima[:] = -100.0
    summary.maxima[:, [0, 9]] = 0.0
    reading = read_rows_reference(summary, torch.zeros(4), vocabulary_size=3000)
    given = {"embedding": embedding, "scale": SCALE}
    wanted = soft_embedding(summary, reading, **given)
    spoilt = torch.full_like(embedding, torch.nan)
    for first in needed.tolist():
        spoilt[first : first + summary.tile] = embedding[first : first + summary.tile]
    made = soft_embedding(summary, reading, embedding=spoilt, scale=SCALE)
    assert torch.equal(made, wanted)


# numpy tells of maxima of rows that are no numbers
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("tma", [True, False])
def test_a_row_alone_is_the_same_row_in_company(tma: bool) -> None:
    # of a steep row, next to flat ones that need every tile, and one that is no number
    summary, reading, embedding = case(130, 64, 2300, spread=20.0, tma=tma)
    summary.maxima[1] = summary.maxima[1] * 0 + reading.maximum[1]
    summary.weights[2], reading.maximum[2] = torch.nan, torch.nan

    def of(rows: slice) -> Tensor:
        part = Summary(
            weights=summary.weights[rows],
            maxima=summary.maxima[rows],
            sums=summary.sums[rows],
            moments=summary.moments[rows],
            argmax=summary.argmax[rows],
        )
        read = Reading(
            argmax=reading.argmax[rows],
            drawn=reading.drawn[rows],
            confidence=reading.confidence[rows],
            entropy=reading.entropy[rows],
            maximum=reading.maximum[rows],
            total=reading.total[rows],
        )
        return soft_embedding(part, read, embedding=embedding, scale=SCALE, tma=tma)

    together = of(slice(None))
    for row in (0, 1, 127, 129):
        assert torch.equal(of(slice(row, row + 1))[0], together[row])
        assert together[row].isfinite().all()
