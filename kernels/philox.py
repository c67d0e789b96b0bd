"""Philox4x32-10: counter-based random words.

From Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC'11. The same
counter and key give the same words on any device, in any order, in any batch.
"""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

Words = Int[Tensor, "*#shape"]

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_MASK = 0xFFFFFFFF
_ROUNDS = 10


def philox(
    counter: tuple[Words, Words, Words, Words], key: tuple[Words | int, Words | int]
) -> tuple[Words, Words, Words, Words]:
    """Four uniform 32-bit words per element, as int64. Counters and keys, also 32-bit words,
    broadcast.
    """
    c0, c1, c2, c3 = torch.broadcast_tensors(*counter)
    k0, k1 = key
    for _ in range(_ROUNDS):
        high0, low0 = _multiply(c0, _MULTIPLIERS[0])
        high1, low1 = _multiply(c2, _MULTIPLIERS[1])
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + _WEYL[0]) & _MASK, (k1 + _WEYL[1]) & _MASK
    return c0, c1, c2, c3


def _multiply(a: Tensor, b: int) -> tuple[Tensor, Tensor]:
    """High and low half of a 32 x 32 bit product; int64 is signed, so the halves of b go apart."""
    low_part = a * (b & 0xFFFF)
    high_part = a * (b >> 16)
    middle = (low_part >> 16) + (high_part & 0xFFFF)
    low = ((middle & 0xFFFF) << 16) | (low_part & 0xFFFF)
    return (high_part >> 16) + (middle >> 16), low
