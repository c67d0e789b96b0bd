"""Flags of the engine: every bound is named in its refusal."""

from __future__ import annotations

import math
from typing import Any

import pytest

from palimpsest.engine.options import EngineOptions


def test_defaults_serve_the_bundled_model() -> None:
    assert EngineOptions().model == "bundled"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": ""}, "--model: '' is not a folder or 'bundled'"),
        ({"served_model_name": ""}, "--served-model-name: '' is not a name"),
        ({"max_model_len": 0}, "--max-model-len: 0 is not within 1 to 262144"),
        ({"max_model_len": 10**9}, "--max-model-len: 1000000000 is not within 1 to 262144"),
        ({"threads": 0}, "--threads: 0 is not within 1 to 1024"),
        ({"max_prefill_tokens": 0}, "--max-prefill-tokens: 0 is not within 1 to 262144"),
        ({"kv_cache_memory": 0.0}, "--kv-cache-memory: 0.0 is not a number of GiB above 0"),
        ({"kv_cache_memory": math.nan}, "--kv-cache-memory: nan is not a number of GiB above 0"),
        ({"max_num_seqs": 0}, "--max-num-seqs: 0 is not within 1 to 4096"),
        ({"gpu_memory_utilization": 0.0}, "--gpu-memory-utilization: 0.0 is not above 0"),
        ({"gpu_memory_utilization": 1.5}, "--gpu-memory-utilization: 1.5 is not above 0"),
        ({"gpu_memory_utilization": float("nan")}, "--gpu-memory-utilization: nan is not above 0"),
        ({"device": "tpu"}, "--device: 'tpu' is not auto, cpu, cuda or cuda:N"),
        ({"dtype": "int8"}, "--dtype: 'int8' is not one of auto, float32, bfloat16"),
        ({"kernels": "cuda"}, "--kernels: 'cuda' is not one of plain, fused"),
        ({"fp8_lm_head": True}, "--fp8-lm-head: needs --kernels fused"),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_flag_value_and_bound(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match="^" + message.replace("(", r"\(")):
        EngineOptions(**options)


def test_a_numbered_cuda_device_is_accepted() -> None:
    assert EngineOptions(device="cuda:1").device == "cuda:1"
