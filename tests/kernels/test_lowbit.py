"""Codes of 6 and 4 bits against their table of values, and where the bytes of each lie."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from palimpsest.kernels.lowbit import Bits, dequantise_low, quantise_low
from palimpsest.kernels.quantise import dequantise_rows, quantise_rows

VALUES: dict[Bits, list[float]] = {
    4: [0, 0.5, 1, 1.5, 2, 3, 4, 6],
    6: [
        *(i / 8 for i in range(16)),
        *(2 + i / 4 for i in range(8)),
        *(4 + i / 2 for i in range(8)),
    ],
}
"""Of e2m1 (OCP Microscaling Formats, 5.3.3) and e2m3 (5.3.2), without signs."""
BOTH: tuple[Bits, ...] = (4, 6)
# less than a tile, and several of which the last ones are parts
SHAPES = [(2, 10, 48), (130, 64), (2, 300, 150)]


def representable(bits: Bits, *shape: int) -> Tensor:
    """Codes times scales that are powers of two, each group with the largest code."""
    generator = torch.Generator().manual_seed(bits)
    values = torch.tensor(VALUES[bits])
    chosen = values[torch.randint(len(values), shape, generator=generator)]
    chosen[..., ::32] = values[-1]
    signs = torch.randint(2, shape, generator=generator) * 2 - 1
    exponents = torch.randint(-20, 3, (*shape[:-1], 1), generator=generator)
    return chosen * signs * 2.0**exponents


def error(made: Tensor, wanted: Tensor) -> float:
    return float((made - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("bits", BOTH)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("gated", [False, True])
def test_numbers_that_have_codes_come_back_as_they_were(
    bits: Bits, shape: tuple[int, ...], gated: bool
) -> None:
    weight = representable(bits, *shape)
    low = quantise_low(weight, bits=bits, gated=gated)
    assert low.bits == bits
    assert torch.equal(dequantise_low(low), weight)


@pytest.mark.parametrize("bits", BOTH)
def test_numbers_between_codes_go_to_the_nearer_one_and_from_the_middle_to_the_even_one(
    bits: Bits,
) -> None:
    values = torch.tensor(VALUES[bits])
    middles = (values[1:] + values[:-1]) / 2
    even = torch.where(torch.arange(len(middles)) % 2 == 0, values[:-1], values[1:])
    below, above = (middles * 0.999, values[:-1]), (middles * 1.001, values[1:])
    # so many of the largest that no other scale is worth their errors
    largest = values[-1:].repeat(33)
    for x, wanted in ((middles, even), below, above):
        made = dequantise_low(quantise_low(torch.cat([largest, x])[None], bits=bits))
        assert torch.equal(made[0, 33:], wanted)


@pytest.mark.parametrize("heavy", [False, True], ids=["gaussian", "laplace"])
@pytest.mark.parametrize("gated", [False, True])
def test_six_bits_are_about_as_exact_as_eight_with_a_scale_per_row_and_four_are_a_tenth_off(
    heavy: bool, gated: bool
) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(256, 2816, generator=generator)
    if heavy:
        uniform = torch.rand(weight.shape, generator=generator) - 0.5
        weight = -uniform.sign() * torch.log1p(-2 * uniform.abs())
    of_eight = error(dequantise_rows(*quantise_rows(weight)), weight)
    six, four = (dequantise_low(quantise_low(weight, bits=b, gated=gated)) for b in (6, 4))
    # a scale for 128 columns fits each of them a little worse
    assert error(six, weight) < of_eight * (1.0 if gated else 1.07)
    assert error(four, weight) < (0.11 if gated else 0.12)


@pytest.mark.parametrize("bits", BOTH)
@pytest.mark.parametrize(("gated", "group"), [(True, 64), (False, 128)])
def test_groups_of_zeros_stay_zeros_and_no_group_sees_another(
    bits: Bits, gated: bool, group: int
) -> None:
    weight = representable(bits, 130, 3 * group)
    weight[3, group : 2 * group] = 0
    weight[:, :group] *= 1e4
    made = dequantise_low(quantise_low(weight, bits=bits, gated=gated))
    assert torch.equal(made[:, group:], weight[:, group:])
    # 1e4 makes scales that bf16 rounds
    assert error(made[:, :group], weight[:, :group]) < 0.004


@pytest.mark.parametrize(("gated", "of_scales"), [(True, 1 / 4), (False, 1 / 8)])
@pytest.mark.parametrize(("bits", "bytes_of_a_unit"), [(4, 8192), (6, 12_288)])
def test_a_weight_takes_its_bits_and_a_share_of_a_scale(
    bits: Bits, bytes_of_a_unit: int, gated: bool, of_scales: float
) -> None:
    low = quantise_low(torch.ones(3, 256, 384), bits=bits, gated=gated)
    assert low.planes.shape == ((3, 2, 3) if gated else (3, 1, 6)) + (bytes_of_a_unit,)
    assert (low.planes.nbytes + low.scales.nbytes) * 8 / (3 * 256 * 384) == bits + of_scales


def bytes_of(bits: Bits, weight: Tensor) -> Tensor:
    return quantise_low(weight, bits=bits).planes.flatten().int()


# -1.5 is s1 e01 m1 in e2m1, and -1.875 is s1 e01 m111 in e2m3
@pytest.mark.parametrize(
    ("bits", "row", "column", "wanted"),
    [
        (4, 0, 0, {0: 0b10001100}),
        (4, 0, 32, {0: 0b00100011}),
        (4, 128, 0, {4096: 0b10001100}),
        # h 1, w 1, g 2, q 1, j 1, i 1, b 3
        (4, 90, 23, {2048 + 512 + 2 * 64 + 16 + 8 + 4 + 3: 0b10001100}),
        (6, 128, 0, {4096: 0b10001111}),
        (6, 0, 32, {8192: 0b10001111}),
        (6, 128, 32, {0: 0b00100000, 4096: 0b01100000, 8192: 0b01100000}),
    ],
)
def test_bits_lie_where_the_picture_shows_them(
    bits: Bits, row: int, column: int, wanted: dict[int, int]
) -> None:
    weight = torch.zeros(256, 64)
    # which makes the scale of the row 1
    weight[row, (column + 1) % 64] = VALUES[bits][-1]
    before = bytes_of(bits, weight)
    weight[row, column] = -1.5 if bits == 4 else -1.875
    added = bytes_of(bits, weight) - before
    assert {int(i): int(added[i]) for i in added.nonzero().flatten()} == wanted


def test_gates_stand_above_their_partners_and_the_next_columns_below() -> None:
    weight = torch.arange(256.0)[:, None].repeat(1, 256)
    scales = quantise_low(weight, bits=6, gated=True).scales.float() * 7.5 / 64
    wanted = torch.cat([torch.arange(64.0, 128.0), torch.arange(192.0, 256.0)])
    torch.testing.assert_close(scales[1, 0, :, 0], wanted, rtol=2**-8, atol=0)
    torch.testing.assert_close(scales[1, 1, :, 1], wanted, rtol=2**-8, atol=0)
    weight[:, 64:128] = 0
    assert (quantise_low(weight, bits=6, gated=True).scales[:, 0, :, 1] < 1e-9).all()
