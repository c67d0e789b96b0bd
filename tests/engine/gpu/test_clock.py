"""The device's own clock."""

from __future__ import annotations

import pytest
import torch

from palimpsest.engine.gpu.clock import DeviceClock


def test_a_cpu_has_no_clock_of_its_own() -> None:
    clock = DeviceClock(torch.device("cpu"))
    with clock.around():
        torch.ones(8).sum()
    assert clock.elapsed_ns() is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_launches_on_a_gpu_are_timed_without_waiting_for_them() -> None:
    device = torch.device("cuda")
    clock, square = DeviceClock(device), torch.ones(4_096, 4_096, device=device)
    for _ in range(2):
        with clock.around():
            square = square @ square
        torch.cuda.current_stream().synchronize()
        elapsed_ns = clock.elapsed_ns()
        assert elapsed_ns is not None
        assert 10_000 < elapsed_ns < 1_000_000_000
