"""Runs a pass: the network over all segments of all turns, then a step of every canvas.

`PlainRunner` is plain torch on any device. It owns the keys and values; whose they are, the
scheduler knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Ordered
from contextlib import suppress
from dataclasses import replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from palimpsest.engine.cache import PagedCache
from palimpsest.engine.diffusion import StepFigures, denoise
from palimpsest.engine.loaded_model import LoadedModel
from palimpsest.engine.logit_controls import controlled
from palimpsest.engine.noise import Noise
from palimpsest.engine.scheduler import Turn
from palimpsest.engine.scoring import label_scores
from palimpsest.engine.segments import Segment, run_segments
from palimpsest.engine.sequence import Sequence
from palimpsest.engine.shapes import Hidden
from palimpsest.engine.threads import Threads
from palimpsest.engine.vision.encoder_cache import EncoderCache

EXPERT_ROW_MULTIPLE = 4
"""So that a request's bits do not depend on how many rows of others go to its experts."""

Sequences = Mapping[int, Sequence]
"""By request id."""


@runtime_checkable
class Runner(Protocol):
    """What runs passes on a device."""

    device_ns: int | None
    """Of the last pass, on the device; None where that is not measured."""

    def run(self, turns: Ordered[Turn], sequences: Sequences) -> list[StepFigures | None]:
        """One pass; the figures of those turns that denoise, in order: None for a canvas whose step
        does not fit into memory even alone, which stays as it is.

        Raises torch.OutOfMemoryError, with no canvas changed.
        """
        ...


class PlainRunner:
    """The network and the sampler as they are written; without `threads` a pass gets as many as
    torch has been told.
    """

    def __init__(self, model: LoadedModel, noise: Noise, threads: Threads | None) -> None:
        self.model, self.noise, self.threads = model, noise, threads
        self.device_ns: int | None = None
        config, capacity = model.network.config, model.capacity
        self.cache = PagedCache(config, capacity.pages, dtype=model.dtype, device=model.device)
        vision = model.network.vision
        self.encoder_cache = None if vision is None else EncoderCache(vision)

    def run(self, turns: Ordered[Turn], sequences: Sequences) -> list[StepFigures | None]:
        hidden = self._hidden(turns, sequences)
        return self.denoise([sequences[t.job.request_id] for t in turns if t.denoise], hidden)

    def _hidden(self, turns: Ordered[Turn], sequences: Sequences) -> list[Tensor]:
        """Final hidden states [C, H] of each canvas; C differs."""
        segments = self.segments(turns, sequences)
        if self.threads is not None:
            rows = sum(len(segment.token_ids) for segment in segments)
            torch.set_num_threads(self.threads.of(rows))
        hidden = run_segments(self.model.network, segments, expert_row_multiple=EXPERT_ROW_MULTIPLE)
        return [h for h, segment in zip(hidden, segments, strict=True) if not segment.causal]

    def segments(self, turns: Ordered[Turn], sequences: Sequences) -> list[Segment]:
        """What the turns need in the pass, in order."""
        embeddings = self.embeddings(turns, sequences)
        segments = []
        for turn in turns:
            sequence, cache = sequences[turn.job.request_id], self.cache.of(turn.job.table)
            segments += sequence.segments(turn, cache, self.model.device, embeddings)
        return segments

    def embeddings(self, turns: Ordered[Turn], sequences: Sequences) -> Mapping[bytes, Tensor]:
        """Of the pictures that the turns encode, by their keys."""
        pictures = [p for turn in turns for p in sequences[turn.job.request_id].pictures(turn)]
        if not pictures:
            return {}
        assert self.encoder_cache is not None, "a network that sees nothing is sent no pictures"
        return self.encoder_cache.embeddings(pictures)

    def denoise(self, stepping: list[Sequence], hidden: list[Tensor]) -> list[StepFigures | None]:
        """A step of each canvas, those of one length together if that fits into memory; None for
        one whose step does not fit alone.
        """
        figures: dict[int, StepFigures | None] = {}
        lengths = [sequence.limits.canvas_length for sequence in stepping]
        for length in dict.fromkeys(lengths):
            members = [i for i, other in enumerate(lengths) if other == length]
            told = self._denoise_fitting(
                [stepping[i] for i in members], [hidden[i] for i in members]
            )
            figures |= zip(members, told, strict=True)
        return [figures[i] for i in range(len(stepping))]

    def _denoise_fitting(
        self, stepping: list[Sequence], hidden: list[Tensor]
    ) -> Ordered[StepFigures | None]:
        with suppress(torch.OutOfMemoryError):
            return self._denoise_equal(stepping, torch.cat(hidden), len(hidden[0]))
        if len(stepping) == 1:
            return [None]
        alone = (self._denoise_fitting([s], [h]) for s, h in zip(stepping, hidden, strict=True))
        return [figures for (figures,) in alone]

    def _denoise_equal(
        self, stepping: list[Sequence], hidden: Hidden, length: int
    ) -> list[StepFigures]:
        network = self.model.network
        moved, figures = denoise(
            [sequence.canvas for sequence in stepping if sequence.canvas is not None],
            controlled(
                lambda rows: network.logits(hidden[rows]),
                [sequence.controls for sequence in stepping],
                length=length,
            ),
            samplings=[sequence.request.sampling for sequence in stepping],
            noise=self.noise.step([s.noise_key() for s in stepping], length=length),
            model=network,
        )
        scored = self._score(stepping, figures, hidden, length)
        # nothing that may fail comes after this
        for sequence, canvas in zip(stepping, moved, strict=True):
            sequence.canvas = canvas
        return scored

    def _score(
        self, stepping: list[Sequence], figures: list[StepFigures], hidden: Hidden, length: int
    ) -> list[StepFigures]:
        """The figures, with scores where a canvas with labels is done."""
        done = [i for i, s in enumerate(stepping) if s.request.labels and figures[i].done]
        if not done:
            return figures
        network = self.model.network
        scores = label_scores(
            lambda rows: network.logits(hidden[rows]),
            [(i * length, stepping[i].request.labels) for i in done],
            end_token_ids=self.model.limits.end_token_ids,
            vocabulary_size=network.config.vocabulary_size,
        )
        told = dict(zip(done, scores, strict=True))
        return [replace(f, scores=told.get(i, ())) for i, f in enumerate(figures)]
