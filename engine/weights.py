"""Reads the published BF16 layout, one safetensors file or shards with an index.

Text weights stand once under `model.decoder.`; files of other makers may repeat them under
`model.encoder.language_model.` or as `lm_head`, and those copies are passed over. Only the layer
scalars are two separate sets. A file without vision weights is a network that sees no pictures. Any
other unknown name is refused, never ignored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from palimpsest.engine.config import ModelConfig, read_json
from palimpsest.engine.errors import CheckpointError
from palimpsest.engine.model import DiffusionGemma

DECODER, ENCODER = "model.decoder.", "model.encoder.language_model."
_SEEING = "model.encoder."
"""Before the names of tower and projector."""
_VISION = "vision."
"""Before our own names of them."""
_PROJECTION = re.compile(r"(vision\.vision_tower\.encoder\..*_proj)\.weight")
_PASSED_OVER = re.compile(r"lm_head\.weight|model\.encoder\.embed_vision\.embedding\..*")
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""


def load_model(
    folder: Path,
    config: ModelConfig,
    *,
    dtype: torch.dtype,
    device: torch.device,
    progress: Progress = lambda done, total: None,
) -> DiffusionGemma:
    """The network, on `device` in `dtype`. Raises CheckpointError naming file or tensor."""
    if not _has_vision(folder):
        config = replace(config, vision=None)
    with torch.device("meta"):
        model = DiffusionGemma(config)
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    names = _published_names(expected)
    loaded: dict[str, torch.Tensor] = {}
    total = sum(path.stat().st_size for path in weight_files(folder))
    done = 0
    for name, tensor in _tensors(folder):
        done += tensor.nbytes
        progress(min(done, total), total)
        # names come sorted, so the decoder's tensor is met before the encoder's copy of it
        if _PASSED_OVER.fullmatch(name) or names.get(name) in loaded:
            continue
        own = _checked(folder, name, tensor, names, expected)
        loaded[own] = tensor.to(device=device, dtype=dtype)
    _complete(folder, loaded, expected)
    model.load_state_dict(loaded, assign=True)
    return model.eval().requires_grad_(False)


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint. Raises CheckpointError when one is missing."""
    index = folder / "model.safetensors.index.json"
    if index.exists():
        weight_map = read_json(index).get("weight_map")
        names = set(weight_map.values()) if isinstance(weight_map, dict) else set()
        if not names or not all(isinstance(name, str) for name in names):
            raise CheckpointError(f"{index}: weight_map does not name files")
        files = [folder / name for name in sorted(names)]
    else:
        files = [folder / "model.safetensors"]
    for path in files:
        if not path.is_file():
            raise CheckpointError(f"{path}: no such file")
    return files


def _has_vision(folder: Path) -> bool:
    with ExitStack() as stack:
        return any(name.startswith(f"{_SEEING}vision_tower.") for name in _sources(folder, stack))


def _sources(folder: Path, stack: ExitStack) -> dict[str, Any]:
    """The open file of each tensor."""
    sources: dict[str, Any] = {}
    for path in weight_files(folder):
        try:
            file = stack.enter_context(safe_open(str(path), framework="pt"))
        except (SafetensorError, OSError) as wrong:
            message = f"{path}: damaged, truncated or not safetensors: {wrong}"
            raise CheckpointError(message) from None
        sources |= dict.fromkeys(file.keys(), file)
    return sources


def _tensors(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """All tensors of all files, encoder copies after what they copy."""
    with ExitStack() as stack:
        sources = _sources(folder, stack)
        for name in sorted(sources):
            yield name, sources[name].get_tensor(name)


def published_name(own: str) -> str:
    """The name in a file of what the network calls `own`."""
    if own.startswith(_VISION):
        return _SEEING + _PROJECTION.sub(r"\1.linear.weight", own).removeprefix(_VISION)
    if own.endswith("encoder_layer_scalar"):
        return ENCODER + own.replace("encoder_layer_scalar", "layer_scalar")
    return DECODER + own


def _published_names(own_names: Iterable[str]) -> dict[str, str]:
    """Our name by name in the file: text weights under either prefix, scalars under their own."""
    names = {published_name(own): own for own in own_names}
    twice = [name for name in names if name.startswith(DECODER) and "layer_scalar" not in name]
    return names | {ENCODER + name.removeprefix(DECODER): names[name] for name in twice}


def _checked(
    folder: Path,
    name: str,
    tensor: torch.Tensor,
    names: dict[str, str],
    expected: dict[str, torch.Size],
) -> str:
    """Our name of a tensor that has the right place, dtype and shape."""
    if name not in names or tensor.dtype not in _DTYPES:
        kind = str(tensor.dtype).removeprefix("torch.")
        raise CheckpointError(
            f"{folder}: the tensor {name} ({kind}) is not part of a BF16 DiffusionGemma "
            "checkpoint; quantised checkpoints are not supported by this version"
        )
    own = names[name]
    if tensor.shape != expected[own]:
        wanted, found = list(expected[own]), list(tensor.shape)
        raise CheckpointError(
            f"{folder}: the tensor {name} has shape {found}, config.json asks for {wanted}"
        )
    return own


def _complete(
    folder: Path, loaded: dict[str, torch.Tensor], expected: dict[str, torch.Size]
) -> None:
    for name in expected:
        if name.endswith("encoder_layer_scalar") and name not in loaded:
            twin = name.replace("encoder_layer_scalar", "layer_scalar")
            if twin in loaded:
                loaded[name] = loaded[twin].clone()
    missing = [name for name in expected if name not in loaded]
    if missing:
        raise CheckpointError(
            f"{folder}: {len(missing)} tensors are missing, the first is "
            f"{published_name(missing[0])}"
        )
