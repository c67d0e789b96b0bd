"""How good the network is while it is being trained: held-out questions, answered by the engine."""

from __future__ import annotations

import torch

from palimpsest.engine.engine import Engine, LoadedModel
from palimpsest.engine.messages import Committed, Sampling, Submit
from palimpsest.engine.model import DiffusionGemma
from palimpsest.engine.sequence import Limits
from palimpsest.engine.training.batches import ExampleSource
from palimpsest.engine.training.export import END_TOKENS
from palimpsest.engine.training.items import Item, held_out_items
from palimpsest.engine.training.rendering import completion
from palimpsest.engine.training.skills import SKILLS

SEED = 1
MAX_STEPS = 16
"""Trained canvases take 2 to 4 steps; untrained ones would take all there are."""


class Probe:
    """Asks the same questions each time; question i is answered with seed i."""

    def __init__(
        self, network: DiffusionGemma, device: torch.device, source: ExampleSource
    ) -> None:
        config = network.config
        limits = Limits(
            canvas_length=config.canvas_length,
            max_context_tokens=config.max_context_tokens,
            end_token_ids=frozenset(END_TOKENS),
        )
        self.engine = Engine(LoadedModel(network=network, limits=limits, device=device))
        self.source = source

    def accuracy(self, skill: str, *, count: int) -> float:
        """Share of `count` held-out questions that are answered to the last token."""
        items = held_out_items(SKILLS[skill], count, SEED)
        return sum(self._right(item, seed) for seed, item in enumerate(items)) / count

    def _right(self, item: Item, seed: int) -> bool:
        prompt = self.source.encode(self.source.renderer.prompt(item))
        wanted = self.source.encode(completion(item))[:-1]
        # one token more than is right is enough to be wrong
        sampling = Sampling(
            max_output_tokens=len(wanted) + 1, seed=seed, max_denoising_steps=MAX_STEPS
        )
        request = Submit(request_id=0, prompt_ids=tuple(prompt), sampling=sampling, drafts=False)
        events = list(self.engine.step([request]))
        while self.engine.busy:
            events += self.engine.step([])
        written = [t for event in events if isinstance(event, Committed) for t in event.token_ids]
        return written == wanted
