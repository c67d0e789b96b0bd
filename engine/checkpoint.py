"""A checkpoint folder: where it is, what its generation_config.json says, and what may serve it.

Knows no torch: the server reads tokenizer and defaults through this, the engine its weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from palimpsest.engine.config import ModelConfig, read_config, read_json
from palimpsest.engine.errors import CheckpointError, InvalidRequest
from palimpsest.engine.options import BUNDLED
from palimpsest.engine.sampling import Sampling

BUNDLED_NAME = "palimpsest-tiny"


def checkpoint_folder(model: str, *, named: str = "--model") -> Path:
    """Folder of a model that was given as `named`. Raises CheckpointError when there is none."""
    folder = Path(__file__).parent / "bundled" if model == BUNDLED else Path(model)
    if not folder.is_dir():
        raise CheckpointError(
            f"{named} {model}: no such folder; give a checkpoint folder or '{BUNDLED}'"
        )
    return folder


def served_name(model: str, chosen: str | None) -> str:
    """Name that requests use: the chosen one, else the bundled name or the folder's."""
    if chosen is not None:
        return chosen
    return BUNDLED_NAME if model == BUNDLED else Path(model).resolve().name


def read_defaults(folder: Path) -> Sampling:
    """The checkpoint's generation settings. Raises CheckpointError naming file and key."""
    path = folder / "generation_config.json"
    raw = read_json(path)
    sampler = raw.get("sampler_config") or {}
    kind = sampler.get("_cls_name", "EntropyBoundSamplerConfig")
    if kind != "EntropyBoundSamplerConfig":
        raise CheckpointError(
            f"{path}: sampler_config is {kind}, this engine has the entropy-bound one"
        )
    named = {
        "max_output_tokens": raw.get("max_new_tokens"),
        "max_denoising_steps": raw.get("max_denoising_steps"),
        "entropy_bound": sampler.get("entropy_bound"),
        "temperature_max": raw.get("t_max"),
        "temperature_min": raw.get("t_min"),
        "confidence_threshold": raw.get("confidence_threshold"),
        "stability_threshold": raw.get("stability_threshold"),
    }
    given: dict[str, Any] = {"seed": 0, "max_output_tokens": 256}
    given |= {key: value for key, value in named.items() if value is not None}
    try:
        return Sampling(**given)
    except (InvalidRequest, TypeError) as wrong:
        raise CheckpointError(f"{path}: {wrong}") from None


def end_tokens(folder: Path, config: ModelConfig) -> tuple[int, ...]:
    """Ids that end an answer: those of generation_config.json, else of config.json."""
    value = read_json(folder / "generation_config.json").get("eos_token_id")
    if value is None:
        return config.end_token_ids
    return tuple(value) if isinstance(value, list) else (value,)


__all__ = [
    "checkpoint_folder",
    "end_tokens",
    "read_config",
    "read_defaults",
    "served_name",
]
