"""What one more canvas costs in memory, keys and values aside."""

from __future__ import annotations

import bisect
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from palimpsest.engine.config import read_config
from palimpsest.engine.errors import DoesNotFit
from palimpsest.engine.memory import (
    CANVASES_AT_ONCE,
    canvas_bytes,
    capacity_of,
    longest_context,
    memory_of,
)
from palimpsest.engine.options import EngineOptions
from palimpsest.engine.pages import PAGE_TOKENS

MB = 10**6
RELEASED = {"hidden_size": 2816, "vocabulary_size": 262_144, "canvas_length": 256}

PEAK_OF_A_STEP = """
import resource, sys
from dataclasses import replace
from functools import partial
from pathlib import Path
import torch
from palimpsest.engine.config import read_config
from palimpsest.engine.diffusion import CanvasState, denoise
from palimpsest.engine.sampling import Sampling
from palimpsest.engine.model import DiffusionGemma
from palimpsest.engine.noise import CounterNoise, NoiseKey

torch.set_num_threads(1)
folder, count = Path(sys.argv[1]), int(sys.argv[2])
config = replace(read_config(folder), vocabulary_size=262_144, canvas_length=256)
with torch.inference_mode():
    model = DiffusionGemma(config)
    canvases = [CanvasState(token_ids=torch.zeros(256, dtype=torch.int64)) for _ in range(count)]
    noise = CounterNoise(length=256, vocabulary_size=262_144, device=torch.device("cpu"))
    denoise(
        canvases,
        lambda rows: torch.zeros(rows.stop - rows.start, 262_144),
        samplings=count * [Sampling(max_output_tokens=1, seed=0)],
        noise=noise.step([NoiseKey(0, i, 1) for i in range(count)], length=256),
        model=model,
    )
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def peak(folder: Path, canvases: int) -> int:
    """Bytes that a process needs at most to denoise so many canvases over the whole vocabulary."""
    command = [sys.executable, "-c", PEAK_OF_A_STEP, str(folder), str(canvases)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.slow
def test_the_sampler_needs_no_more_memory_for_more_canvases_than_it_keeps_of_them(
    calm_folder: Path,
) -> None:
    one, four = peak(calm_folder, 1), peak(calm_folder, 4)
    # fp32 logits of one canvas alone would be 268 MB
    assert (four - one) / 3 <= 4 * MB


def test_what_is_kept_of_a_canvas_of_the_released_checkpoint_stays_below_4_mb(
    calm_folder: Path,
) -> None:
    released = replace(read_config(calm_folder), **RELEASED)  # type: ignore[arg-type]
    assert canvas_bytes(released, torch.bfloat16) <= 1.5 * MB
    assert canvas_bytes(released, torch.float32) <= 4 * MB


def test_logits_of_fused_steps_are_left_room_for(calm_folder: Path) -> None:
    released = replace(read_config(calm_folder), **RELEASED)  # type: ignore[arg-type]
    cpu = torch.device("cpu")
    logits = CANVASES_AT_ONCE * released.canvas_length * released.vocabulary_size * 4
    options = EngineOptions(
        max_num_seqs=CANVASES_AT_ONCE, gpu_memory_utilization=logits / memory_of(cpu)
    )
    sizes = partial(capacity_of, released, options, weights=0, dtype=torch.float32, device=cpu)

    assert sizes(context=512, fused=False).cache_bytes
    with pytest.raises(DoesNotFit):
        sizes(context=512, fused=True)


@pytest.mark.parametrize("sees", [True, False])
def test_the_longest_context_that_is_told_is_served_and_no_longer_one(
    calm_folder: Path, sees: bool
) -> None:
    cpu, options = torch.device("cpu"), EngineOptions(max_num_seqs=1, max_prefill_tokens=64)
    config = read_config(calm_folder)
    config = replace(config, vision=config.vision if sees else None)
    counted = partial(longest_context, config, options, memory=memory_of(cpu))
    longest = partial(counted, dtype=torch.float32, fused=False)
    # weights that leave room for less than the checkpoint's context
    sizes = range(memory_of(cpu))
    weights = bisect.bisect_left(sizes, -2_000, key=lambda size: -longest(weights=size))
    told = longest(weights=weights)
    serve = partial(
        capacity_of, config, options, weights=weights, dtype=torch.float32, device=cpu, fused=False
    )

    assert serve(context=told).cache_bytes
    with pytest.raises(DoesNotFit):
        serve(context=told + PAGE_TOKENS)
