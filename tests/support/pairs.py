"""A checkpoint loaded twice: by the engine and by the reference."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from reference import Reference, load_reference

from palimpsest.engine.loaded_model import LoadedModel
from palimpsest.engine.loading import load
from palimpsest.engine.options import EngineOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The engine's model and the reference, both in fp32 with the same weights."""

    folder: Path
    model: LoadedModel
    reference: Reference

    @property
    def canvas_length(self) -> int:
        return self.model.limits.canvas_length

    @property
    def window(self) -> int:
        window = self.model.network.config.layers[0].window
        assert window is not None
        return window

    def ending_at(self, *end_token_ids: int) -> LoadedModel:
        """The model with other tokens that end an answer, or none."""
        limits = replace(self.model.limits, end_token_ids=frozenset(end_token_ids))
        return replace(self.model, limits=limits)


def load_pair(folder: Path) -> Pair:
    options = EngineOptions(model=str(folder), device="cpu", dtype="float32")
    model, _ = load(options, lambda done, total: None)
    return Pair(folder=folder, model=model, reference=load_reference(folder))
