from __future__ import annotations

import pytest
import torch

from palimpsest.kernels.fused.noise import noise, noise_reference

SEEDS = torch.tensor([0, 1, -1, 2**63 - 1, -(2**63), 0x0123456789ABCDEF, 1 << 32])
INDICES = torch.tensor([0, 1, 2, 1000, 2**31 - 1, 7, 0], dtype=torch.int32)
STEPS = torch.tensor([0, 1, 2, 48, 16, 2**31 - 1, 3], dtype=torch.int32)


@pytest.mark.parametrize("length", [1, 37, 256, 300])
@pytest.mark.parametrize("vocabulary", [1, 1000, 262_144])
def test_noise_is_as_defined_to_the_bit(length: int, vocabulary: int) -> None:
    given = {"seeds": SEEDS, "canvas_index": INDICES, "step": STEPS, "length": length}
    uniforms, tokens = noise(**given, vocabulary_size=vocabulary)
    wanted = noise_reference(**given, vocabulary_size=vocabulary)
    assert torch.equal(uniforms, wanted[0])
    assert torch.equal(tokens, wanted[1])


def test_noise_of_a_canvas_does_not_depend_on_its_neighbours() -> None:
    def of(rows: slice) -> tuple[torch.Tensor, torch.Tensor]:
        return noise(
            seeds=SEEDS[rows],
            canvas_index=INDICES[rows],
            step=STEPS[rows],
            length=256,
            vocabulary_size=262_144,
        )

    together, alone = of(slice(None)), of(slice(3, 4))
    assert torch.equal(together[0][3:4], alone[0])
    assert torch.equal(together[1][3:4], alone[1])
