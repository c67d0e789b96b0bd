"""Writes a trained network as a checkpoint in the published layout: BF16 safetensors and the files
beside it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from palimpsest.engine.quantised.places import published_name
from palimpsest.engine.training import tokenizer
from palimpsest.engine.vision.config import BUDGETS
from palimpsest.engine.vision.patches import Processing

END_TOKENS = (1, 106, 50)
GENERATION = {
    "max_new_tokens": 256,
    "max_denoising_steps": 48,
    "t_max": 0.8,
    "t_min": 0.4,
    "confidence_threshold": 0.005,
    "stability_threshold": 1,
    "sampler_config": {"_cls_name": "EntropyBoundSamplerConfig", "entropy_bound": 0.1},
    "eos_token_id": list(END_TOKENS),
    "pad_token_id": 0,
}

IMAGE_BUDGET = 70
"""Tokens of an image, the fewest there can be: it is trained on nothing else."""
PROCESSOR: dict[str, Any] = {
    "processor_class": "Gemma4Processor",
    "image_seq_length": IMAGE_BUDGET,
    "image_processor": {
        "image_processor_type": "Gemma4ImageProcessor",
        "do_convert_rgb": True,
        "do_normalize": False,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.0, 0.0, 0.0],
        "image_std": [1.0, 1.0, 1.0],
        "max_soft_tokens": IMAGE_BUDGET,
        "patch_size": 16,
        "pooling_kernel_size": 3,
        "resample": 3,
        "rescale_factor": 1 / 255,
    },
    "video_processor": {
        "video_processor_type": "Gemma4VideoProcessor",
        "max_soft_tokens": 70,
        "num_frames": 32,
        "patch_size": 16,
        "pooling_kernel_size": 3,
    },
}


def processing() -> Processing:
    """How pictures are cut for it."""
    image, video = PROCESSOR["image_processor"], PROCESSOR["video_processor"]
    return Processing(
        patch_size=image["patch_size"],
        pooling=image["pooling_kernel_size"],
        image_budget=image["max_soft_tokens"],
        frame_budget=video["max_soft_tokens"],
        frame_count=video["num_frames"],
        longest_side=BUDGETS[-1] * image["pooling_kernel_size"],
    )


def export(weights: dict[str, torch.Tensor], config: Path, folder: Path) -> None:
    """Fills `folder` with a checkpoint; `config` is the config.json that the weights were trained
    with.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {published_name(name): tensor.to(torch.bfloat16) for name, tensor in weights.items()}
    tensors = {name: tensor.contiguous() for name, tensor in sorted(tensors.items())}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_bytes(config.read_bytes())
    for name, content in (("generation_config", GENERATION), ("processor_config", PROCESSOR)):
        text = json.dumps(content, indent=2) + "\n"
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
    template = (Path(__file__).parent / "chat_template.jinja").read_text(encoding="utf-8")
    tokenizer.save(folder, template)
