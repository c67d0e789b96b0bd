"""Passes of the fused runner's programs over one set of random weights."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import torch

from palimpsest.engine.cache import PagedCache
from palimpsest.engine.gpu.canvases import Stepping
from palimpsest.engine.gpu.full_size.random_weights import random_weights
from palimpsest.engine.gpu.full_size.sizes import Plan
from palimpsest.engine.gpu.layout import Part, PassShape
from palimpsest.engine.gpu.network import FusedNetwork
from palimpsest.engine.gpu.program import PassProgram
from palimpsest.engine.gpu.store import CanvasStore
from palimpsest.engine.gpu.weight_format import WeightFormat
from palimpsest.engine.gpu.weights import fp8_head_of
from palimpsest.engine.page_table import PageTable
from palimpsest.engine.pages import PAGE_TOKENS, Pages
from palimpsest.engine.sampling import Sampling
from palimpsest.kernels.fused.overlap import overlapping

CHUNK = 1024
"""Tokens that a context grows by, so that layers with a window forget what they need no more."""


class Passes:
    """One set of weights and a cache, whose keys and values are zeros until a pass writes them."""

    def __init__(self, plan: Plan, *, weight_format: WeightFormat) -> None:
        self.plan, self.config = plan, plan.config
        device, dtype = plan.device, plan.dtype
        weights = random_weights(
            self.config, weight_format=weight_format, device=device, dtype=dtype
        )
        most, length = max(plan.canvases), self.config.canvas_length
        answer = (plan.answer_canvases + 1) * length
        self.context = max(plan.contexts) + answer
        short = most * (min(plan.contexts) + PAGE_TOKENS)
        # windows hold what they see and a chunk; of long contexts there are few at once
        needed = {None: max(short, plan.long_contexts * self.context)}
        needed |= {
            layer.window: most * (layer.window + CHUNK + answer)
            for layer in self.config.layers
            if layer.window is not None
        }
        self.counts = {window: tokens // PAGE_TOKENS for window, tokens in needed.items()}
        cache = PagedCache(self.config, self.counts, dtype=dtype, device=device)
        self.network = FusedNetwork.of(
            self.config, weights, cache, quantised=weight_format.quantised
        )
        self.store = self.new_store(most, length)
        self.pool = torch.cuda.graph_pool_handle() if device.type == "cuda" else None

    def times(self) -> Iterator[dict[str, object]]:
        """Milliseconds of a pass that denoises so many canvases behind a context."""
        for context in self.plan.contexts:
            for canvases in self.plan.canvases:
                if canvases * (context + PAGE_TOKENS) <= PAGE_TOKENS * self.counts[None]:
                    yield {"context": context, "canvases": canvases} | self._time(context, canvases)

    def _time(self, context: int, canvases: int) -> dict[str, object]:
        pages = Pages(self.counts)
        parts = [part for _ in range(canvases) for part in self.parts(pages, context)]
        try:
            milliseconds = self.milliseconds(self.program(parts), parts)
        except torch.OutOfMemoryError as problem:
            return {"pass_ms": None, "problem": str(problem).partition("\n")[0]}
        tokens = canvases * self.config.canvas_length
        speed = milliseconds and 1e3 * tokens / (self.plan.steps * milliseconds)
        return {"pass_ms": milliseconds, "tokens_per_second": speed}

    def published_setup(self) -> dict[str, object]:
        """Output tokens per second of one request: a prompt, then canvases of fixed steps, each
        after the first committed in the pass of the next one's first step.
        """
        length, context, steps = self.config.canvas_length, min(self.plan.contexts), self.plan.steps
        made: dict[PassShape, PassProgram] = {}
        schedule: list[tuple[list[Part], int]] = []
        for canvas in range(self.plan.answer_canvases):
            start = context + canvas * length
            reading = length if canvas else context
            schedule += [(self.parts(Pages(self.counts), start - reading, reading=reading), 0)]
            later = self.parts(Pages(self.counts), start)
            schedule += [(later, step) for step in range(1, steps)]
        for parts, _ in schedule:
            shape = PassShape.of(parts, length)
            if shape not in made:
                made[shape] = self.program(parts)
        began, ends = time.perf_counter(), []
        for parts, step in schedule:
            made[PassShape.of(parts, length)].run(parts, [self.stepping(0, step)])
            ends.append(time.perf_counter() - began)
        tokens = self.plan.answer_canvases * length
        return {
            "prompt_tokens": context,
            "output_tokens": tokens,
            "steps_per_canvas": steps,
            "seconds": ends[-1],
            "tokens_per_second": tokens / ends[-1],
            "first_draft_ms": 1e3 * ends[0],
        }

    def one_token(self) -> dict[str, object]:
        """What the same network would do one token a pass: a canvas of one token."""
        context = min(self.plan.contexts)
        [canvas] = self.parts(Pages(self.counts), context)
        token = replace(canvas, length=1)
        program = self.program([token], store=self.new_store(1, 1))
        milliseconds = self.milliseconds(program, [token])
        speed = milliseconds and 1e3 / milliseconds
        return {"context": context, "pass_ms": milliseconds, "tokens_per_second": speed}

    def one_after_the_other(self) -> dict[str, object]:
        """The first row without dense MLPs beside experts."""
        return self._first_row(replace(self.network, side=None))

    def fp8_head(self) -> dict[str, object]:
        """The first row with logits read off the embedding in e4m3."""
        weights = self.network.weights
        weights = replace(weights, head=fp8_head_of(weights.embedding))
        return self._first_row(replace(self.network, weights=weights))

    def overlapped(self) -> dict[str, object]:
        """The first row with launches that come while the ones before still run."""
        with overlapping():
            return self._first_row(self.network)

    def _first_row(self, network: FusedNetwork) -> dict[str, object]:
        context = min(self.plan.contexts)
        parts = self.parts(Pages(self.counts), context)
        program = self.program(parts, network=network)
        return {"context": context, "canvases": 1, "pass_ms": self.milliseconds(program, parts)}

    def parts(self, pages: Pages, context: int, *, reading: int = 0) -> list[Part]:
        """A canvas behind `context` tokens and `reading` more that the same pass writes."""
        table, length = PageTable(pages), self.config.canvas_length
        while table.stored < context:
            more = min(CHUNK, context - table.stored)
            table.extend(more)
            keys = [b"%d" % i for i in range((table.stored + more) // PAGE_TOKENS)]
            table.advance(more, keys)
        end, prefill = context + reading, []
        if reading:
            table.extend(reading)
            tokens = [i % self.config.vocabulary_size for i in range(reading)]
            prefill = [Part.of(table, start=context, length=reading, token_ids=tokens)]
        return [*prefill, Part.of(table, start=end, length=length)]

    def program(
        self,
        parts: list[Part],
        *,
        network: FusedNetwork | None = None,
        store: CanvasStore | None = None,
        eager: bool = False,
    ) -> PassProgram:
        """Of the exact shape, as a graph where there can be one."""
        store, network = store or self.store, network or self.network
        return PassProgram(
            network,
            store,
            PassShape.of(parts, store.tokens.shape[1]),
            shown=network.weights.embedding.new_zeros(1, self.config.hidden_size),
            context_tokens=self.context,
            pool=None if eager else self.pool,
        )

    def new_store(self, places: int, length: int) -> CanvasStore:
        """Of random canvases, the same ones every time."""
        device, config = self.plan.device, self.config
        store = CanvasStore(
            places, length=length, width=config.hidden_size, dtype=self.plan.dtype, device=device
        )
        generator = torch.Generator(device).manual_seed(1)
        store.tokens.random_(0, config.vocabulary_size, generator=generator)
        return store

    def stepping(self, place: int, step: int) -> Stepping:
        """Of a canvas that never converges."""
        sampling = Sampling(
            max_output_tokens=1, seed=place, max_denoising_steps=48, confidence_threshold=0.0
        )
        return Stepping(place=place, canvas_index=0, step=step, sampling=sampling)

    def milliseconds(self, program: PassProgram, parts: list[Part]) -> float | None:
        """Of a pass over canvases, the median; None where time means nothing."""
        stepping = [self.stepping(place, 0) for place in range(program.shape.canvases)]
        program.run(parts, stepping)
        times = []
        for _ in range(self.plan.rounds):
            began = time.perf_counter()
            program.run(parts, stepping)
            times.append(1e3 * (time.perf_counter() - began))
        return sorted(times)[len(times) // 2] if self.plan.is_timed else None
