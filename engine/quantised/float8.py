"""FP8 as compressed-tensors lays it out (`float-quantized`): e4m3 with one scale per output row.

w = weight · weight_scale; activations are rounded token by token when the model runs, so nothing of
them is in the file. Published as "FP8-dynamic".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from palimpsest.engine.quantised.scheme import SIXTEEN_OR_MORE, Part
from palimpsest.kernels.quantise import dequantise_rows, quantise_rows

WEIGHT, SCALE = "weight", "weight_scale"


@dataclass(frozen=True, slots=True)
class Float8:
    """e4m3 [out, in] and scales [out, 1]."""

    name: str = "compressed-tensors float-quantized (FP8-dynamic)"
    unused: frozenset[str] = frozenset({"input_scale"})

    def parts(self, rows: int, columns: int) -> dict[str, Part]:
        return {
            WEIGHT: Part(dtypes=("F8_E4M3",), shape=(rows, columns)),
            SCALE: Part(dtypes=SIXTEEN_OR_MORE, shape=(rows, 1)),
        }

    def decode(self, parts: Mapping[str, Tensor], *, rows: int, columns: int) -> Tensor:
        return dequantise_rows(*self.codes(parts))

    def codes(self, parts: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """e4m3 [out, in] and fp32 scales [out], as the fused kernels read them."""
        return parts[WEIGHT], parts[SCALE].float()[:, 0]

    def encode(self, weight: Tensor, *, largest: float) -> dict[str, Tensor]:
        """The parts of `weight` [out, in]; every row has its own scale, whatever is `largest`.
        Scales are kept in BF16, as published, and codes are of what is kept.

        Error of a row: 2.6 % (root mean square, Gaussian values).
        """
        scales = quantise_rows(weight)[1].bfloat16()
        # a scale that was rounded down leaves its row's largest number a little above 448
        codes = (weight.float() / scales.float()[:, None]).clamp(-448.0, 448.0)
        return {WEIGHT: codes.to(torch.float8_e4m3fn), SCALE: scales[:, None]}
