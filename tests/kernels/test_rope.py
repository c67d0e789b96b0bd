"""Rotary embedding: both kinds of frequencies, against formulas and against transformers."""

from __future__ import annotations

import pytest
import torch
from calm import build_calm

from palimpsest.kernels.rope import (
    default_frequencies,
    proportional_frequencies,
    rotate,
    rotation,
)


@pytest.mark.parametrize("head_dim", [2, 16, 256])
def test_default_frequencies_are_powers_of_theta(head_dim: int) -> None:
    frequencies = default_frequencies(head_dim, theta=10_000.0)
    expected = [10_000.0 ** (-2 * i / head_dim) for i in range(head_dim // 2)]
    torch.testing.assert_close(frequencies, torch.tensor(expected), rtol=1e-6, atol=0)


def test_proportional_frequencies_divide_by_the_whole_head_and_end_in_zeros() -> None:
    frequencies = proportional_frequencies(512, theta=1e6, rotated_fraction=0.25, factor=1.0)
    expected = [1e6 ** (-2 * i / 512) for i in range(64)] + [0.0] * 192
    torch.testing.assert_close(frequencies, torch.tensor(expected), rtol=1e-6, atol=0)


def test_the_factor_divides_proportional_frequencies() -> None:
    plain = proportional_frequencies(32, theta=1e6, rotated_fraction=0.5, factor=1.0)
    slower = proportional_frequencies(32, theta=1e6, rotated_fraction=0.5, factor=8.0)
    assert torch.equal(slower, plain / 8)


def test_dimensions_with_frequency_zero_are_left_as_they_are() -> None:
    frequencies = proportional_frequencies(32, theta=1e6, rotated_fraction=0.25, factor=1.0)
    cosine, sine = rotation(torch.tensor([5, 4000]), frequencies, torch.float32)
    x = torch.randn(2, 3, 32, generator=torch.Generator().manual_seed(0))
    turned = rotate(x, cosine, sine)
    still = torch.tensor([i for i in range(32) if i % 16 >= 4])
    assert torch.equal(turned[..., still], x[..., still])
    assert not torch.equal(turned, x)


def test_a_pair_is_turned_by_its_angle() -> None:
    frequencies = default_frequencies(8, theta=100.0)
    x = torch.randn(4, 2, 8, generator=torch.Generator().manual_seed(0))
    positions = torch.tensor([0, 1, 17, 300])
    turned = rotate(x, *rotation(positions, frequencies, torch.float32))
    for i in range(4):
        plane = torch.complex(x[..., i], x[..., i + 4]).to(torch.complex128)
        angle = positions.double() * 100.0 ** (-2 * i / 8)
        expected = plane * torch.polar(torch.ones(4, dtype=torch.float64), angle)[:, None]
        # fp32 angles up to 300 are off by half a step of 2^-15
        torch.testing.assert_close(turned[..., i].double(), expected.real, rtol=0, atol=2e-4)
        torch.testing.assert_close(turned[..., i + 4].double(), expected.imag, rtol=0, atol=2e-4)


def test_products_of_turned_vectors_depend_on_distance_alone() -> None:
    frequencies = default_frequencies(16, theta=10_000.0)
    query, key = torch.randn(2, 1, 1, 16, generator=torch.Generator().manual_seed(0))
    products = []
    for start in (0, 100):
        angles = [rotation(torch.tensor([start + i]), frequencies, torch.float32) for i in (0, 7)]
        products.append((rotate(query, *angles[0]) * rotate(key, *angles[1])).sum())
    torch.testing.assert_close(products[0], products[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["sliding_attention", "full_attention"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_cosines_and_sines_equal_those_of_transformers(kind: str, dtype: torch.dtype) -> None:
    reference = build_calm().model.decoder.rotary_emb
    positions = torch.arange(0, 4096, 37)
    cosine, sine = reference(torch.zeros(1, dtype=dtype), positions[None], kind)
    if kind == "sliding_attention":
        frequencies = default_frequencies(16, theta=10_000.0)
    else:
        frequencies = proportional_frequencies(32, theta=1e6, rotated_fraction=0.25, factor=1.0)
    own = rotation(positions, frequencies, dtype)
    assert torch.equal(own[0], cosine[0])
    assert torch.equal(own[1], sine[0])
