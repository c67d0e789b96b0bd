"""From options to a model that runs, and the refusals that say what would."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from replay import random_prompt, run, submit

from palimpsest.engine.config import read_config
from palimpsest.engine.engine import Engine
from palimpsest.engine.errors import CheckpointError, DoesNotFit
from palimpsest.engine.events import Finished, ModelInfo
from palimpsest.engine.loaded_model import LoadedModel
from palimpsest.engine.loading import load
from palimpsest.engine.memory import weight_bytes
from palimpsest.engine.options import EngineOptions
from palimpsest.engine.sampling import Sampling
from palimpsest.engine.weights import contents_of


def loaded(**options: object) -> tuple[LoadedModel, ModelInfo]:
    return load(EngineOptions(**{"device": "cpu", **options}), lambda done, total: None)  # type: ignore[arg-type]


def test_the_bundled_model_is_described() -> None:
    model, info = loaded()
    assert info.name == "palimpsest-tiny"
    assert (info.canvas_length, info.max_context_tokens, info.vocabulary_size) == (64, 4096, 512)
    assert (info.device, info.dtype) == ("cpu", "float32")
    assert info.parameter_count == sum(p.numel() for p in model.network.parameters())
    assert info.defaults.max_denoising_steps == 48
    assert model.limits.end_token_ids == {1, 106, 50}
    assert model.limits.max_context_tokens == 4096


def test_a_folder_is_served_under_its_name(calm_folder: Path) -> None:
    assert loaded(model=str(calm_folder))[1].name == calm_folder.name
    assert loaded(model=str(calm_folder), served_model_name="mine")[1].name == "mine"


def test_the_asked_dtype_and_context_are_taken() -> None:
    model, info = loaded(dtype="bfloat16", max_model_len=1000)
    assert (info.dtype, info.max_context_tokens) == ("bfloat16", 1000)
    assert model.dtype == torch.bfloat16
    assert model.limits.max_context_tokens == 1000


@pytest.mark.parametrize(
    ("length", "message"),
    [
        (4097, "--max-model-len 4097: the checkpoint was made for 4096 tokens"),
        (
            127,
            "--max-model-len 127: a prompt and one canvas of 64 tokens need at least 128",
        ),
    ],
)
def test_a_context_that_the_checkpoint_cannot_have_is_refused(length: int, message: str) -> None:
    with pytest.raises(DoesNotFit) as refusal:
        loaded(max_model_len=length)
    assert str(refusal.value) == message


def test_the_smallest_context_is_two_canvases() -> None:
    assert loaded(max_model_len=128)[1].max_context_tokens == 128


def refusals() -> list[tuple[float, str]]:
    """What is said when ever more memory is allowed for the cache, until a sequence fits."""
    said: list[tuple[float, str]] = []
    memory = 1e-5
    while True:
        try:
            loaded(kv_cache_memory=memory)
        except DoesNotFit as refusal:
            said.append((memory, str(refusal)))
            memory *= 1.2
        else:
            return said


def test_a_refusal_names_a_context_that_fits_and_it_does() -> None:
    advice = re.compile(r"; --max-model-len (\d+) would fit$")
    found = [(memory, advice.search(said)) for memory, said in refusals()]
    fitting = [(memory, int(match[1])) for memory, match in found if match]
    assert fitting
    for memory, length in fitting:
        model, _ = loaded(kv_cache_memory=memory, max_model_len=length)
        assert model.limits.max_context_tokens == length
        with pytest.raises(DoesNotFit):
            loaded(kv_cache_memory=memory, max_model_len=length + 1)


def test_a_refusal_counts_weights_a_pass_and_the_cache() -> None:
    with pytest.raises(DoesNotFit) as refusal:
        loaded(gpu_memory_utilization=1e-6)
    assert re.match(
        r"weights \d+\.\d\d GiB, a pass \d+\.\d\d GiB, cache \d+\.\d\d GiB for 4096 tokens, "
        r"but \d+\.\d\d GiB are allowed on cpu \(--gpu-memory-utilization 1e-06\); "
        "that leaves no room for a sequence; use a larger device or fewer --max-num-seqs$",
        str(refusal.value),
    )


def test_the_cache_takes_the_memory_that_it_is_given() -> None:
    usual, small = loaded()[1].capacity, loaded(kv_cache_memory=0.05)[1].capacity
    assert usual.cache_bytes == pytest.approx(2**28, rel=0.02)
    assert small.cache_bytes == pytest.approx(0.05 * 2**30, rel=0.02)
    assert small.cache_tokens < usual.cache_tokens


def test_a_cache_too_small_for_one_sequence_is_refused_with_the_flag_that_made_it() -> None:
    with pytest.raises(DoesNotFit, match=r"0.001 GiB of them for the cache \(--kv-cache-memory\)"):
        loaded(kv_cache_memory=0.001)


def test_a_file_in_fp32_counts_as_the_dtype_it_is_served_in(calm_folder: Path) -> None:
    contents = contents_of(calm_folder, read_config(calm_folder))
    served = {d: weight_bytes(contents, getattr(torch, d)) for d in ("float32", "bfloat16")}
    assert served["float32"] == 2 * served["bfloat16"]
    on_disk = (calm_folder / "model.safetensors").stat().st_size
    assert served["float32"] == pytest.approx(on_disk, rel=0.05)


def test_a_model_at_the_advised_context_answers_up_to_its_end() -> None:
    model, info = loaded(max_model_len=200)
    sampling = Sampling(max_output_tokens=200, seed=0, max_denoising_steps=2)
    events = run(Engine(model), [submit(random_prompt(136), sampling)])
    last = events[-1]
    assert isinstance(last, Finished)
    assert last.usage.canvases == 1
    assert info.max_context_tokens == 136 + 64


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_refused_with_the_way_out() -> None:
    with pytest.raises(CheckpointError, match="--device cuda: no CUDA device here; use --device"):
        loaded(device="cuda")


def test_a_folder_that_is_not_there_is_refused() -> None:
    with pytest.raises(CheckpointError, match="--model /nowhere: no such folder"):
        loaded(model="/nowhere")


def test_progress_is_reported() -> None:
    reports: list[tuple[int, int]] = []
    load(EngineOptions(device="cpu"), lambda done, total: reports.append((done, total)))
    assert reports
    assert all(0 < done <= total for done, total in reports)


def test_a_start_does_not_wait_for_the_compiler() -> None:
    """Of torch, whose import takes as long as loading a small model."""
    code = """
import sys
from palimpsest.engine.loading import load
from palimpsest.engine.options import EngineOptions
load(EngineOptions(device="cpu"), lambda done, total: None)
print("torch._dynamo" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
