"""NVFP4: four-bit floats (e2m1), one e4m3 scale for 16 columns, one fp32 scale for the matrix.

Two makers write it. compressed-tensors (`nvfp4-pack-quantized`) divides by its global scale,
w = e2m1 · weight_scale / weight_global_scale; ModelOpt multiplies, w = e2m1 · weight_scale ·
weight_scale_2. A byte holds two columns, the even one in its low nibble; a nibble is a sign and
the magnitude's number in 0, ½, 1, 1½, 2, 3, 4, 6. Files may also hold scales for rounding
activations to four bits; here activations keep their dtype, which is the more exact of the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from palimpsest.engine.quantised.scheme import Misplaced, Part

GROUP = 16
"""Columns that share a scale."""
LARGEST = 6.0
"""Of e2m1."""
LARGEST_SCALE = 448.0
"""Of e4m3."""
_FP16_SHIFT = 2.0**14
"""e2m1 counts exponents from 1, fp16 from 15."""
_BETWEEN = (0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0)
"""Midway between neighbours of e2m1's magnitudes."""


@dataclass(frozen=True, slots=True)
class Nvfp4:
    """e2m1 pairs [out, in / 2], e4m3 scales [out, in / 16], one fp32 number."""

    name: str
    codes: str
    """Last part of the name of the pairs."""
    whole: str
    """Last part of the name of the matrix's scale."""
    divides: bool
    """Whether that is divided by."""
    unused: frozenset[str]

    def parts(self, rows: int, columns: int) -> dict[str, Part]:
        if columns % GROUP:
            raise Misplaced(f"{self.name}: {columns} columns are no multiple of {GROUP}")
        return {
            self.codes: Part(dtypes=("U8",), shape=(rows, columns // 2)),
            "weight_scale": Part(dtypes=("F8_E4M3",), shape=(rows, columns // GROUP)),
            self.whole: Part(dtypes=("F32",), shape=(1,) if self.divides else ()),
        }

    def decode(self, parts: Mapping[str, Tensor], *, rows: int, columns: int) -> Tensor:
        whole = parts[self.whole].reshape(())
        scales = parts["weight_scale"].float()
        scales = scales / whole if self.divides else scales * whole
        values = unpack(parts[self.codes]).unflatten(1, (-1, GROUP))
        return (values * scales[..., None]).reshape(rows, columns)

    def encode(self, weight: Tensor, *, largest: float) -> dict[str, Tensor]:
        """The parts of `weight`. `largest` is the largest magnitude in it, or in all matrices that
        have to have the same global scale: kernels that run a gate and its up projection as one
        need that. It makes the largest group's scale e4m3's largest.

        Error: 9.5 % (root mean square, Gaussian values).
        """
        whole = torch.tensor([LARGEST * LARGEST_SCALE / largest if largest else 1.0])
        groups = weight.float().unflatten(1, (-1, GROUP))
        scales = (groups.abs().amax(dim=-1) / LARGEST * whole).clamp(max=LARGEST_SCALE)
        scales = scales.to(torch.float8_e4m3fn)
        real = (scales.float() / whole)[..., None]
        # groups of zeros, or too small for a scale, have the scale 0
        values = torch.where(real > 0, groups / real, 0.0)
        return {
            self.codes: pack(values.flatten(1)),
            "weight_scale": scales,
            self.whole: whole if self.divides else (1 / whole).reshape(()),
        }


COMPRESSED_TENSORS = Nvfp4(
    name="compressed-tensors nvfp4-pack-quantized (NVFP4)",
    codes="weight_packed",
    whole="weight_global_scale",
    divides=True,
    unused=frozenset({"input_global_scale"}),
)
MODELOPT = Nvfp4(
    name="modelopt NVFP4",
    codes="weight",
    whole="weight_scale_2",
    divides=False,
    unused=frozenset({"input_scale"}),
)


def unpack(pairs: Tensor) -> Tensor:
    """fp32 [rows, 2 K] of bytes [rows, K]."""
    nibbles = torch.stack((pairs & 15, pairs >> 4), dim=-1).flatten(1).short()
    # sign, exponent and mantissa where fp16 has them, subnormal numbers included
    bits = (nibbles & 8) << 12 | (nibbles & 7) << 9
    return bits.view(torch.float16).float() * _FP16_SHIFT


def pack(values: Tensor) -> Tensor:
    """Bytes [rows, K] of fp32 [rows, 2 K], each value the nearest e2m1, ties to the even code."""
    magnitudes = values.abs()
    below = torch.tensor(_BETWEEN, device=values.device)
    # with a tie both sides differ, and the even one of the two codes is taken
    low, high = torch.bucketize(magnitudes, below), torch.bucketize(magnitudes, below, right=True)
    codes = torch.where(low % 2 == 0, low, high).byte() | (values < 0).byte() << 3
    even, odd = codes.unflatten(1, (-1, 2)).unbind(-1)
    return even | odd << 4
