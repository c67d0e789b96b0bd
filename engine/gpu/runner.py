"""Runs passes with the fused kernels: one forward over all rows, one step of all canvases.

Canvases of requests that change logits or draws, or ask for what is read off whole logits, take
their step on the plain path, from the same hidden rows.
"""

from __future__ import annotations

from collections.abc import Sequence as Ordered

import torch
from torch import Tensor

from palimpsest.engine.diffusion import CanvasState, StepFigures
from palimpsest.engine.gpu.canvases import canvas_batch, figures_of, put_back
from palimpsest.engine.gpu.layout import lay_out
from palimpsest.engine.gpu.network import FusedNetwork
from palimpsest.engine.gpu.sampler import step
from palimpsest.engine.gpu.weights import NetworkWeights
from palimpsest.engine.loaded_model import LoadedModel
from palimpsest.engine.noise import CounterNoise
from palimpsest.engine.runner import PlainRunner, Sequences
from palimpsest.engine.sampling import Sampling
from palimpsest.engine.scheduler import Turn
from palimpsest.engine.segments import Segment
from palimpsest.engine.sequence import Sequence


class FusedRunner:
    """Takes the layers out of the model's network: they are kept in the kernels' form alone."""

    def __init__(self, model: LoadedModel, noise: CounterNoise, *, quantised: bool) -> None:
        self.config = model.network.config
        self.plain = PlainRunner(model, noise, None)
        self.windows = list(dict.fromkeys(layer.window for layer in self.config.layers))
        weights = NetworkWeights.of(model.network, quantised=quantised)
        self.network = FusedNetwork.of(self.config, weights, self.plain.cache, quantised=quantised)

    def run(self, turns: Ordered[Turn], sequences: Sequences) -> list[StepFigures]:
        segments = self.plain.segments(turns, sequences)
        hidden = self._hidden(segments)
        stepping = [sequences[turn.job.request_id] for turn in turns if turn.denoise]
        figures: dict[int, StepFigures] = {}
        for length in dict.fromkeys(map(len, hidden)):
            fused = [i for i, s in enumerate(stepping) if len(hidden[i]) == length and _plain(s)]
            if fused:
                told = self._step([stepping[i] for i in fused], [hidden[i] for i in fused])
                figures |= zip(fused, told, strict=True)
        rest = [i for i in range(len(stepping)) if i not in figures]
        told = self.plain.denoise([stepping[i] for i in rest], [hidden[i] for i in rest])
        figures |= zip(rest, told, strict=True)
        return [figures[i] for i in range(len(stepping))]

    def _hidden(self, segments: list[Segment]) -> list[Tensor]:
        """Of each canvas [C, H]."""
        canvases = [segment for segment in segments if not segment.causal]
        lengths = [len(segment.token_ids) for segment in canvases]
        weight = self.network.weights.embedding
        told = [
            weight.new_zeros(length, weight.shape[1])
            if segment.soft_embedding is None
            else segment.soft_embedding
            for segment, length in zip(canvases, lengths, strict=True)
        ]
        soft = torch.cat(told) if told else weight.new_empty(0, weight.shape[1])
        hidden = self.network.forward(lay_out(segments, self.windows), soft)
        return list(hidden.split(lengths))

    def _step(self, stepping: list[Sequence], hidden: list[Tensor]) -> list[StepFigures]:
        """Of canvases of one length."""
        canvases = [_canvas(sequence) for sequence in stepping]
        batch = canvas_batch(canvases, stepping, hidden[0])
        reading = step(
            batch,
            torch.cat(hidden),
            embedding=self.network.weights.embedding,
            embedding_scale=self.network.embedding_scale,
            softcap=self.config.logit_softcap,
        )
        put_back(batch, canvases)
        return figures_of(reading, canvases, [s.request.sampling for s in stepping])


def _canvas(sequence: Sequence) -> CanvasState:
    assert sequence.canvas is not None, "the engine begins canvases before the pass"
    return sequence.canvas


def _plain(sequence: Sequence) -> bool:
    """Whether its logits and draws are left as they are and nothing but tokens is asked for."""
    if sequence.controls is not None or sequence.request.labels:
        return False
    sampling, usual = sequence.request.sampling, Sampling(max_output_tokens=1, seed=0)
    return all(
        getattr(sampling, name) == getattr(usual, name)
        for name in ("temperature", "top_p", "top_k", "min_p", "logprobs")
    )
