"""A checkpoint of the released size whose files are headers and holes: nothing of it is on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from palimpsest.engine.config import read_config
from palimpsest.engine.headers import ITEM_BYTES, Entry, header_bytes
from palimpsest.engine.quantised.places import DECODER, linear_places
from palimpsest.engine.quantiser.formats import FORMATS
from palimpsest.engine.weights import shapes_of

CONFIG: dict[str, Any] = {
    "architectures": ["DiffusionGemmaForBlockDiffusion"],
    "canvas_length": 256,
    "eos_token_id": [1, 106, 50],
    "text_config": {
        "vocab_size": 262_144,
        "hidden_size": 2816,
        "intermediate_size": 2112,
        "num_hidden_layers": 30,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 256,
        "global_head_dim": 512,
        "num_global_key_value_heads": 2,
        "sliding_window": 1024,
        "num_experts": 128,
        "top_k_experts": 8,
        "moe_intermediate_size": 704,
        "final_logit_softcapping": 30.0,
        "rms_norm_eps": 1e-6,
        "max_position_embeddings": 262_144,
        "rope_parameters": {
            "full_attention": {
                "rope_type": "proportional",
                "partial_rotary_factor": 0.25,
                "rope_theta": 1e6,
            },
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
        },
    },
}


def write_released(folder: Path, format: str | None, **text_config: int) -> Path:
    """In BF16, or in a format of `palimpsest quantize`; with other sizes if they are given."""
    folder.mkdir()
    said = {} if format is None else {"quantization_config": dict(FORMATS[format].config)}
    sizes = {"text_config": CONFIG["text_config"] | text_config}
    (folder / "config.json").write_text(json.dumps(CONFIG | sizes | said))
    entries = released_entries(folder, format)
    entries = dict(sorted(entries.items(), key=lambda item: -ITEM_BYTES.get(item[1].dtype, 1)))
    head = header_bytes(entries, {"format": "pt"})
    with (folder / "model.safetensors").open("wb") as file:
        file.write(head)
        file.truncate(len(head) + sum(entry.num_bytes for entry in entries.values()))
    return folder


def released_entries(folder: Path, format: str | None) -> dict[str, Entry]:
    """The tensors that the config.json in `folder` asks for."""
    shapes = shapes_of(read_config(folder))
    entries = {
        DECODER + own: Entry(dtype="BF16", shape=tuple(shape))
        for own, shape in shapes.items()
        if not own.endswith("encoder_layer_scalar")
    }
    if format is None:
        return entries
    kind = FORMATS[format]
    for linear, place in linear_places(shapes, joined=kind.joined).items():
        if (codec := kind.codec(linear)) is not None:
            entries.pop(DECODER + place.own, None)
            entries |= {
                f"{DECODER}{linear}.{last}": Entry(dtype=part.dtypes[0], shape=part.shape)
                for last, part in codec.parts(*place.shape).items()
            }
    return entries
