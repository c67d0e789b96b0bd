"""Runs passes with the fused kernels: one launch for all rows and all canvases.

Canvases that are narrower, or of requests that change logits or draws or ask for what is read off
whole logits, take their step on the plain path, from the same hidden rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Ordered

import torch

from palimpsest.engine.diffusion import CanvasState, StepFigures
from palimpsest.engine.gpu.canvases import Stepping, figures_of
from palimpsest.engine.gpu.layout import Part, PassShape, padded
from palimpsest.engine.gpu.network import FusedNetwork
from palimpsest.engine.gpu.program import PassProgram
from palimpsest.engine.gpu.store import CanvasStore, Seats
from palimpsest.engine.gpu.weight_format import WeightFormat
from palimpsest.engine.gpu.weights import NetworkWeights
from palimpsest.engine.loaded_model import LoadedModel
from palimpsest.engine.noise import CounterNoise
from palimpsest.engine.runner import PlainRunner, Sequences
from palimpsest.engine.sampling import Sampling
from palimpsest.engine.scheduler import Turn
from palimpsest.engine.sequence import Sequence
from palimpsest.engine.vision.blocks import by_picture
from palimpsest.engine.vision.config import BUDGETS


class FusedRunner:
    """Takes the layers out of the model's network: they are kept in the kernels' form alone."""

    def __init__(
        self, model: LoadedModel, noise: CounterNoise, *, weight_format: WeightFormat
    ) -> None:
        self.limits, config = model.limits, model.network.config
        self.plain = PlainRunner(model, noise, None)
        weights = NetworkWeights.of(
            model.network,
            weight_format=weight_format,
            scales=model.scales,
            low_bit=model.low_bit,
            fp8_head=model.fp8_head,
        )
        self.network = FusedNetwork.of(
            config, weights, self.plain.cache, quantised=weight_format.quantised
        )
        self.seats = Seats(
            CanvasStore(
                model.capacity.max_num_seqs,
                length=model.limits.canvas_length,
                width=config.hidden_size,
                dtype=model.dtype,
                device=model.device,
            )
        )
        shown = model.capacity.prefill_tokens + BUDGETS[-1] if model.network.vision else 1
        self._shown = weights.embedding.new_zeros(shown, config.hidden_size)
        self.device_ns: int | None = None
        self._programs: dict[PassShape, PassProgram] = {}
        self._pool = torch.cuda.graph_pool_handle() if model.device.type == "cuda" else None
        self._prepare(model.capacity.max_num_seqs)

    def run(self, turns: Ordered[Turn], sequences: Sequences) -> list[StepFigures | None]:
        parts = [part for turn in turns for part in _parts(turn, sequences[turn.job.request_id])]
        running = [sequences[turn.job.request_id] for turn in turns if turn.denoise]
        stepping = self._stepping(running, sequences)
        program = self._program(PassShape.of(parts, self.limits.canvas_length))
        reading = program.run(parts, stepping, self.plain.embeddings(turns, sequences))
        self.device_ns = program.device_ns
        figures: list[StepFigures | None] = [*figures_of(reading, stepping)]
        others = [i for i, sequence in enumerate(running) if not self._is_fused(sequence)]
        for i, sequence in enumerate(running):
            if i not in others:
                # the next run overwrites what was read
                _canvas(sequence).draft = reading.argmax[i].clone()
                _canvas(sequence).step += 1
        if others:
            self._denoise_plainly(others, running, program.hidden_rows(parts), figures)
        return figures

    def _stepping(self, running: Ordered[Sequence], sequences: Sequences) -> list[Stepping]:
        """The canvases of the running sequences, which have places now."""
        canvases = {request: sequence.canvas for request, sequence in sequences.items()}
        places = self.seats.seat([s.request.request_id for s in running], canvases)
        return [
            Stepping(
                place=place,
                canvas_index=sequence.canvas_index,
                step=_canvas(sequence).step,
                sampling=sequence.request.sampling,
            )
            for sequence, place in zip(running, places, strict=True)
        ]

    def _prepare(self, most: int) -> None:
        """Makes the programs of passes of canvases alone, which most are, before there are requests
        that would wait for it.
        """
        length = self.limits.canvas_length
        # the widest first: the pool's memory that it leaves serves those that follow
        for count in range(most, 0, -1):
            rows = count * padded(length)
            self._program(PassShape(rows=rows, canvases=count, canvas_length=length))

    def _program(self, wanted: PassShape) -> PassProgram:
        shape = wanted.rounded()
        if shape not in self._programs:
            self._programs[shape] = PassProgram(
                self.network,
                self.seats.store,
                shape,
                shown=self._shown,
                context_tokens=self.limits.max_context_tokens,
                pool=self._pool,
            )
        return self._programs[shape]

    def _denoise_plainly(
        self,
        others: Ordered[int],
        running: Ordered[Sequence],
        hidden: Ordered[torch.Tensor],
        figures: list[StepFigures | None],
    ) -> None:
        """The step of those canvases that the device's is not for; their state is not there."""
        stepping = [running[i] for i in others]
        told = self.plain.denoise(stepping, [hidden[i] for i in others])
        for i, of_one in zip(others, told, strict=True):
            figures[i] = of_one
            self.seats.leave(running[i].request.request_id)

    def _is_fused(self, sequence: Sequence) -> bool:
        """Whether its logits and draws are left as they are and nothing but tokens is asked for."""
        if sequence.controls is not None or sequence.request.labels:
            return False
        if len(_canvas(sequence).token_ids) != self.limits.canvas_length:
            return False
        sampling, usual = sequence.request.sampling, Sampling(max_output_tokens=1, seed=0)
        return all(
            getattr(sampling, name) == getattr(usual, name)
            for name in ("temperature", "top_p", "top_k", "min_p", "logprobs")
        )


def _parts(turn: Turn, sequence: Sequence) -> Iterator[Part]:
    """What the turn needs in the pass, in order."""
    table = turn.job.table
    for start, end in sequence.pieces(turn):
        for first, last, shows in by_picture(sequence.request.pictures, start, end):
            ids = turn.job.tokens[first:last]
            yield Part.of(table, start=first, length=last - first, token_ids=ids, shows=shows)
    if turn.denoise:
        start, length = turn.start + turn.encode, len(_canvas(sequence).token_ids)
        yield Part.of(table, start=start, length=length)


def _canvas(sequence: Sequence) -> CanvasState:
    assert sequence.canvas is not None, "the engine begins canvases before the pass"
    return sequence.canvas
