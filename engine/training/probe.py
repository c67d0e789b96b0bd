"""How good the network is while it is being trained: held-out questions, answered by the engine."""

from __future__ import annotations

import itertools
import operator

import torch

from palimpsest.engine.capacity import Capacity
from palimpsest.engine.commands import Submit
from palimpsest.engine.engine import Engine
from palimpsest.engine.events import Committed
from palimpsest.engine.loaded_model import LoadedModel
from palimpsest.engine.model import DiffusionGemma
from palimpsest.engine.sampling import Sampling
from palimpsest.engine.sequence import Limits
from palimpsest.engine.training.batches import ExampleSource
from palimpsest.engine.training.export import END_TOKENS
from palimpsest.engine.training.items import Item, held_out_items
from palimpsest.engine.training.rendering import completion
from palimpsest.engine.training.skills import SKILLS

SEED = 1
MAX_STEPS = 16
"""Trained canvases take 2 to 4 steps; untrained ones would take all there are."""
AT_ONCE = 16
PAGES = 256
"""Of the cache: enough for the longest questions of a skill."""


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
            vocabulary_size=config.vocabulary_size,
        )
        pages = {layer.window: PAGES for layer in config.layers}
        capacity = Capacity(pages=pages, cache_bytes=0, max_num_seqs=AT_ONCE)
        self.model = LoadedModel(network=network, limits=limits, device=device, capacity=capacity)
        self.source = source

    def accuracy(self, skill: str, *, count: int) -> float:
        """Share of `count` held-out questions that are answered to the last token."""
        items = held_out_items(SKILLS[skill], count, SEED)
        wanted = [self.source.encode(completion(item))[:-1] for item in items]
        written = self._answers(items, [len(tokens) for tokens in wanted])
        return sum(map(operator.eq, written, wanted)) / count

    def _answers(self, items: list[Item], lengths: list[int]) -> list[list[int]]:
        # a new engine: what an earlier one has cached came from other weights
        engine = Engine(self.model)
        events = list(engine.step(map(self._request, itertools.count(), items, lengths)))
        while engine.busy:
            events += engine.step([])
        written: list[list[int]] = [[] for _ in items]
        for event in events:
            if isinstance(event, Committed):
                written[event.request_id] += event.token_ids
        return written

    def _request(self, number: int, item: Item, length: int) -> Submit:
        prompt = self.source.prompt(item)
        # one token more than is right is enough to be wrong
        sampling = Sampling(
            max_output_tokens=length + 1, seed=number, max_denoising_steps=MAX_STEPS
        )
        return Submit(
            request_id=number,
            prompt_ids=tuple(prompt.token_ids),
            pictures=prompt.pictures,
            sampling=sampling,
            drafts=False,
        )
