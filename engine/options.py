"""What an operator chooses about the engine: the flags of `palimpsest serve`, checked.

Names are vLLM's where they mean the same. Knows no torch: whether a device exists is the worker's
to say.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from palimpsest.engine.capacity import DEFAULT_MAX_NUM_SEQS, DEFAULT_PREFILL_TOKENS

BUNDLED = "bundled"
"""Value of `model` that stands for the checkpoint inside the package."""

DTYPES = ("auto", "float32", "bfloat16")
KERNELS = ("plain", "fused")
MAX_NUM_SEQS = 4_096
MAX_MODEL_LEN = 262_144
MAX_THREADS = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """One engine process's settings. Raises ValueError naming the flag, its value and its bound."""

    model: str = BUNDLED
    """Folder of a checkpoint, or `bundled`."""
    served_model_name: str | None = None
    """Name that requests use; unset, the checkpoint decides."""
    max_model_len: int | None = None
    """Tokens of prompt and answer together; unset, what the checkpoint was trained for."""
    max_num_seqs: int = DEFAULT_MAX_NUM_SEQS
    """Canvases denoised at the same time."""
    max_prefill_tokens: int = DEFAULT_PREFILL_TOKENS
    """Prompt tokens of one pass, over all requests."""
    kv_cache_memory: float | None = None
    """GiB for keys and values; unset, what `gpu_memory_utilization` leaves, on a CPU 0.25 GiB."""
    gpu_memory_utilization: float = 0.9
    """Share of the device's memory that weights and cache may take; above 0, at most 1."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`."""
    dtype: str = "auto"
    """Of the weights: one of DTYPES."""
    kernels: str = "plain"
    """What runs a pass: one of KERNELS."""
    fp8_lm_head: bool = False
    """Whether fused kernels read logits off a copy of the embedding in e4m3."""
    threads: int | None = None
    """CPU threads of a pass; unset, all cores, but one for few rows of a small network."""

    def __post_init__(self) -> None:
        if not self.model:
            raise _refusal("--model", self.model, "a folder or 'bundled'")
        if self.served_model_name == "":
            raise _refusal("--served-model-name", self.served_model_name, "a name")
        _check_count("--max-model-len", self.max_model_len, MAX_MODEL_LEN)
        _check_count("--threads", self.threads, MAX_THREADS)
        _check_count("--max-num-seqs", self.max_num_seqs, MAX_NUM_SEQS)
        _check_count("--max-prefill-tokens", self.max_prefill_tokens, MAX_MODEL_LEN)
        cache = self.kv_cache_memory
        if cache is not None and not 0.0 < cache < math.inf:
            raise _refusal("--kv-cache-memory", cache, "a number of GiB above 0")
        share = self.gpu_memory_utilization
        if math.isnan(share) or not 0.0 < share <= 1.0:
            raise _refusal("--gpu-memory-utilization", share, "above 0 and at most 1")
        if re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device) is None:
            raise _refusal("--device", self.device, "auto, cpu, cuda or cuda:N")
        if self.dtype not in DTYPES:
            raise _refusal("--dtype", self.dtype, f"one of {', '.join(DTYPES)}")
        if self.kernels not in KERNELS:
            raise _refusal("--kernels", self.kernels, f"one of {', '.join(KERNELS)}")
        if self.fp8_lm_head and self.kernels != "fused":
            raise ValueError("--fp8-lm-head: needs --kernels fused")


def _check_count(flag: str, value: int | None, bound: int) -> None:
    if value is not None and not 1 <= value <= bound:
        raise _refusal(flag, value, f"within 1 to {bound}")


def _refusal(flag: str, value: object, expected: str) -> ValueError:
    return ValueError(f"{flag}: {value!r} is not {expected}")
