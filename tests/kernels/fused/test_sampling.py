from __future__ import annotations

import pytest
import torch
from torch import Tensor

from palimpsest.kernels.fused.lm_head import Summary, lm_head_reference
from palimpsest.kernels.fused.sampling import read_rows, read_rows_reference
from palimpsest.kernels.sampling import draw, entropies

LAST = 1 - 2.0**-24
"""The largest uniform that the noise makes."""


def summary_of(logits: Tensor, *, tile: int, dtype: torch.dtype = torch.float32) -> Summary:
    """Of rows of logits that nothing caps: each row times the identity."""
    return lm_head_reference(
        hidden=logits.to(dtype),
        embedding=torch.eye(logits.shape[1], dtype=dtype),
        inverse_temperature=torch.ones(len(logits)),
        softcap=1e6,
        tile=tile,
    )


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def uniforms(rows: int) -> Tensor:
    drawn = torch.rand(rows, generator=torch.Generator().manual_seed(1))
    drawn[:2] = torch.tensor([0.0, LAST])[:rows]
    return drawn


@pytest.mark.parametrize(("vocabulary", "tile"), [(7, 256), (300, 128), (1000, 256), (1100, 256)])
@pytest.mark.parametrize("spread", [0.1, 3.0, 40.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_rows_are_read_as_defined(
    vocabulary: int, tile: int, spread: float, dtype: torch.dtype
) -> None:
    summary = summary_of(spread * random(8, vocabulary), tile=tile, dtype=dtype)
    made = read_rows(summary, uniforms(8), vocabulary_size=vocabulary)
    wanted = read_rows_reference(summary, uniforms(8), vocabulary_size=vocabulary)
    assert torch.equal(made.argmax, wanted.argmax)
    assert torch.equal(made.drawn, wanted.drawn)
    assert torch.equal(made.maximum, wanted.maximum)
    # fp32 sums of a few tiles, against fp64
    for name in ("confidence", "entropy", "total"):
        torch.testing.assert_close(
            getattr(made, name), getattr(wanted, name), rtol=2e-6, atol=2e-6, msg=name
        )


@pytest.mark.parametrize("spread", [0.1, 3.0, 40.0])
def test_entropies_and_draws_are_those_of_the_plain_path(spread: float) -> None:
    logits = spread * random(40, 1000, seed=2)
    made = read_rows(summary_of(logits, tile=256), uniforms(40), vocabulary_size=1000)
    probabilities, entropy = entropies(logits)
    # log-probabilities of the plain path are off by a last bit of 40 · 8
    torch.testing.assert_close(made.entropy, entropy, rtol=1e-5, atol=4e-5)
    torch.testing.assert_close(made.confidence, probabilities.amax(-1), rtol=4e-5, atol=0.0)
    assert torch.equal(made.argmax.long(), logits.argmax(-1))
    assert torch.equal(made.drawn.long(), draw(probabilities, uniforms(40)))


def test_the_real_number_of_tiles_is_read() -> None:
    tiles = 1024
    made = Summary(
        weights=torch.zeros(3, tiles * 256),
        maxima=torch.full((3, tiles), -40.0),
        sums=torch.ones(3, tiles),
        moments=torch.zeros(3, tiles),
        argmax=torch.arange(tiles, dtype=torch.int32).repeat(3, 1) * 256,
    )
    made.weights.view(3, tiles, 256)[:, :, 0] = 1.0
    made.maxima[0, 1023] = 0.0
    reading = read_rows(made, torch.tensor([0.5, 0.5, LAST]), vocabulary_size=tiles * 256)
    assert reading.argmax.tolist() == [1023 * 256, 0, 0]
    assert reading.drawn.tolist() == [1023 * 256, 512 * 256, 1023 * 256]
    # 1023 e^-40 is nothing beside 1
    torch.testing.assert_close(reading.entropy[0], torch.tensor(0.0), rtol=0.0, atol=1e-6)
    torch.testing.assert_close(reading.entropy[1], torch.tensor(1024.0).log(), rtol=1e-6, atol=0.0)


def test_a_token_without_weight_is_never_drawn() -> None:
    logits = random(20, 700)
    logits[torch.rand(20, 700, generator=torch.Generator().manual_seed(3)) < 0.9] = -1000.0
    logits[:, 699], logits[:, 350] = -1000.0, -50.0
    made = read_rows(summary_of(logits, tile=256), uniforms(20), vocabulary_size=700)
    assert (logits.gather(1, made.drawn.long()[:, None]) > -1000).all()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_rows_that_are_no_numbers_still_name_tokens() -> None:
    nothing = torch.full((1, 3), torch.nan)
    made = read_rows(
        Summary(
            weights=torch.full((1, 3 * 256), torch.nan),
            maxima=nothing,
            sums=nothing,
            moments=nothing,
            argmax=torch.zeros(1, 3, dtype=torch.int32),
        ),
        torch.zeros(1),
        vocabulary_size=700,
    )
    assert 0 <= int(made.drawn) < 700
    assert int(made.argmax) == 0


def test_a_row_alone_is_read_as_in_company() -> None:
    logits = 3 * random(9, 600)
    together = read_rows(summary_of(logits, tile=256), uniforms(9), vocabulary_size=600)
    alone = read_rows(summary_of(logits[7:8], tile=256), uniforms(9)[7:8], vocabulary_size=600)
    for name in ("argmax", "drawn", "confidence", "entropy", "maximum", "total"):
        assert torch.equal(getattr(alone, name)[0], getattr(together, name)[7]), name
