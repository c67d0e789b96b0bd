"""transformers' `generate` on random weights of the same size."""

from __future__ import annotations

import time
from typing import cast

import torch

from palimpsest.engine.gpu.full_size.sizes import Plan

NEVER_SURE = 1e-30
"""Confidence threshold that no canvas meets; the reference refuses 0."""


def reference(plan: Plan) -> dict[str, object]:
    """The published set-up with as many steps, its second run."""
    # imported late: serving never needs the reference
    import transformers

    before = torch.get_default_dtype()
    torch.set_default_dtype(plan.dtype)
    try:
        with torch.device(plan.device):
            config = transformers.DiffusionGemmaConfig(**plan.raw)
            model = transformers.DiffusionGemmaForBlockDiffusion(config).eval()
    finally:
        torch.set_default_dtype(before)
    model.generation_config.eos_token_id = None
    context, tokens = min(plan.contexts), plan.answer_canvases * plan.config.canvas_length
    prompt = torch.randint(plan.config.vocabulary_size, (1, context), device=plan.device)

    def seconds() -> float:
        began = time.perf_counter()
        model.generate(
            cast(torch.LongTensor, prompt),
            max_new_tokens=tokens,
            max_denoising_steps=plan.steps,
            confidence_threshold=NEVER_SURE,
        )
        if plan.is_timed:
            torch.cuda.synchronize(plan.device)
        return time.perf_counter() - began

    _, taken = seconds(), seconds()
    return {
        "version": transformers.__version__,
        "dtype": str(plan.dtype).removeprefix("torch."),
        "prompt_tokens": context,
        "output_tokens": tokens,
        "steps_per_canvas": plan.steps,
        "seconds": taken,
        "tokens_per_second": tokens / taken,
        "memory_bytes": torch.cuda.max_memory_allocated() if plan.is_timed else None,
    }
