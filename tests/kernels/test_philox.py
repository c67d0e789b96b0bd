"""Philox4x32-10 against the known answers of its authors' library and against plain integers."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from palimpsest.kernels.philox import philox

ONES = 0xFFFFFFFF
Four = tuple[int, int, int, int]
word = st.integers(0, ONES)


def words(counter: Four, key: tuple[int, int]) -> Four:
    a, b, c, d = (int(out) for out in philox(tuple(torch.tensor(c) for c in counter), key))  # type: ignore[arg-type]
    return a, b, c, d


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        (
            (ONES, ONES, ONES, ONES),
            (ONES, ONES),
            (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
        ),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
    ids=["zeros", "ones", "pi"],
)
def test_known_answers_of_random123(counter: Four, key: tuple[int, int], answer: Four) -> None:
    assert words(counter, key) == answer


def in_integers(counter: Four, key: tuple[int, int]) -> Four:
    (c0, c1, c2, c3), (k0, k1) = counter, key
    for _ in range(10):
        first, second = c0 * 0xD2511F53, c2 * 0xCD9E8D57
        c0, c1, c2, c3 = (
            (second >> 32) ^ c1 ^ k0,
            second & ONES,
            (first >> 32) ^ c3 ^ k1,
            first & ONES,
        )
        k0, k1 = (k0 + 0x9E3779B9) & ONES, (k1 + 0xBB67AE85) & ONES
    return c0, c1, c2, c3


@settings(deadline=None)
@given(st.tuples(word, word, word, word), st.tuples(word, word))
def test_every_counter_and_key_gives_what_plain_integers_give(
    counter: Four, key: tuple[int, int]
) -> None:
    assert words(counter, key) == in_integers(counter, key)


def test_counters_broadcast_and_an_element_does_not_depend_on_its_neighbours() -> None:
    zero = torch.zeros((), dtype=torch.int64)
    rows, columns = torch.arange(5)[:, None], torch.arange(7)[None, :]
    grid = philox((columns, rows, zero, zero), (1, 2))
    assert all(out.shape == (5, 7) for out in grid)
    assert tuple(int(out[3, 4]) for out in grid) == words((4, 3, 0, 0), (1, 2))


def test_words_are_spread_evenly() -> None:
    zero = torch.zeros((), dtype=torch.int64)
    count, bins = 1 << 16, 256
    for out in philox((torch.arange(count), zero, zero, zero), (7, 0)):
        assert int(out.min()) >= 0
        assert int(out.max()) <= ONES
        observed = torch.bincount(out >> 24, minlength=bins).double()
        expected = count / bins
        chi_square = float(((observed - expected) ** 2 / expected).sum())
        # mean 255 and deviation √510; six deviations
        assert abs(chi_square - (bins - 1)) < 6 * (2 * (bins - 1)) ** 0.5
