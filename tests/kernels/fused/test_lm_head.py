from __future__ import annotations

import pytest
import torch
from torch import Tensor

from palimpsest.kernels.fused.lm_head import Summary, lm_head, lm_head_reference
from palimpsest.kernels.fused.rounding import Rounded

SOFTCAP = 30.0


def eighths(*shape: int, seed: int, span: int = 8) -> Tensor:
    """Numbers whose products sum without rounding, so that only definitions can differ."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-span, span + 1, shape, generator=generator) / 8


def temperatures(rows: int) -> Tensor:
    return 1 / torch.linspace(0.4, 1.0, rows)


@pytest.mark.parametrize("tma", [True, False])
@pytest.mark.parametrize(
    ("rows", "width", "vocabulary"), [(1, 64, 7), (5, 96, 300), (130, 72, 1000), (3, 2816, 260)]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_rows_are_summarised_as_defined(
    rows: int, width: int, vocabulary: int, dtype: torch.dtype, tma: bool
) -> None:
    hidden = eighths(rows, width, seed=0).to(dtype)
    embedding = eighths(vocabulary, width, seed=1).to(dtype)
    given = {"hidden": hidden, "embedding": embedding, "softcap": SOFTCAP}
    cooling = temperatures(rows)
    made = lm_head(**given, inverse_temperature=cooling, tma=tma)
    wanted = lm_head_reference(**given, inverse_temperature=cooling, tile=made.tile)
    # tanh by way of a sigmoid is off by 60 · 2^-24, which the coldest row makes 1e-5
    torch.testing.assert_close(made.maxima, wanted.maxima, rtol=1e-6, atol=2e-5)
    torch.testing.assert_close(made.sums, wanted.sums, rtol=4e-5, atol=0.0)
    torch.testing.assert_close(made.moments, wanted.moments, rtol=1e-4, atol=4e-5)
    # another last bit in fp16, whose smallest number is 2^-24
    rtol, atol = (1e-3, 2.0**-24) if dtype == torch.float16 else (4e-5, 1e-30)
    torch.testing.assert_close(made.weights, wanted.weights, rtol=rtol, atol=atol)
    assert torch.equal(made.argmax, wanted.argmax)


@pytest.mark.parametrize("tma", [True, False])
@pytest.mark.parametrize(("rows", "width", "vocabulary"), [(5, 96, 300), (130, 80, 1000)])
def test_logits_may_be_read_off_an_embedding_in_eight_bits(
    rows: int, width: int, vocabulary: int, tma: bool
) -> None:
    generator = torch.Generator().manual_seed(3)
    embedding = torch.randn(vocabulary, width, generator=generator)
    given = {
        "hidden": torch.randn(rows, width, generator=generator),
        "embedding": embedding,
        "coded": Rounded.of(embedding, quantised=True),
        "inverse_temperature": temperatures(rows),
        "softcap": SOFTCAP,
    }
    made = lm_head(**given, tma=tma)
    wanted = lm_head_reference(**given, tile=made.tile)
    # products of e4m3 numbers are exact in fp32, so only the order of sums differs
    torch.testing.assert_close(made.maxima, wanted.maxima, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(made.sums, wanted.sums, rtol=1e-3, atol=0.0)
    torch.testing.assert_close(made.weights, wanted.weights, rtol=1e-3, atol=1e-30)
    assert torch.equal(made.argmax, wanted.argmax)
    exact = lm_head_reference(**{**given, "coded": None}, tile=made.tile)
    assert not torch.allclose(made.maxima, exact.maxima, rtol=0, atol=0.01)


@pytest.mark.parametrize("tma", [True, False])
def test_the_first_of_equal_logits_is_the_argmax(tma: bool) -> None:
    hidden, embedding, best = torch.ones(2, 16), torch.zeros(600, 16), (5, 9, 300, 511, 512)
    embedding[list(best)] = 1.0
    made = lm_head(
        hidden=hidden,
        embedding=embedding,
        inverse_temperature=torch.ones(2),
        softcap=SOFTCAP,
        tma=tma,
    )
    firsts = {token // made.tile: token for token in reversed(best)}
    for tile, argmax in enumerate(made.argmax[0].tolist()):
        assert argmax == firsts.get(tile, tile * made.tile)


def test_logits_are_rounded_before_they_are_compared() -> None:
    # 2049 lies between 2048 and 2050 in fp16 and becomes 2048, which the token before is
    hidden = torch.tensor([[64.0, 1.0, *[0.0] * 6]], dtype=torch.float16)
    embedding = torch.zeros(20, 8, dtype=torch.float16)
    embedding[3, 0], embedding[4, 0], embedding[4, 1] = 32.0, 32.0, 1.0
    # a cap so high that it caps nothing
    made = lm_head(
        hidden=hidden, embedding=embedding, inverse_temperature=torch.ones(1), softcap=1e4
    )
    assert int(made.argmax[0, 0]) == 3


# numpy tells of maxima of rows that are no numbers
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("tma", [True, False])
def test_a_row_alone_is_the_same_row_in_company(tma: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(140, 64, generator=generator)
    hidden[7] = torch.nan
    embedding = torch.randn(300, 64, generator=generator)
    cooling = temperatures(140)

    def of(rows: slice) -> Summary:
        return lm_head(
            hidden=hidden[rows].contiguous(),
            embedding=embedding,
            inverse_temperature=cooling[rows].contiguous(),
            softcap=SOFTCAP,
            tma=tma,
        )

    together = of(slice(None))
    assert (together.argmax < 300).all()
    for row in (0, 127, 128, 139):
        alone = of(slice(row, row + 1))
        for name in ("weights", "maxima", "sums", "moments", "argmax"):
            assert torch.equal(getattr(alone, name)[0], getattr(together, name)[row]), name
